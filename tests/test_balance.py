"""Rare classes filled up with drawn rows, and the referee who judges it."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import diabolo
from diabolo import DiaboloError
from diabolo.__main__ import main
from diabolo.noise import mix_seed
from diabolo.tasks import balance, referee
from diabolo.tasks._classes import classes_of
from diabolo.tasks._contest import METRICS, OURS, REMEDIES, Contest, Training
from diabolo.tasks.balance import _parts
from diabolo.tasks.referee import _gains

FAST: dict[str, Any] = {"epochs": 2, "latent": 2, "net": "mlp(hidden=(16,))"}


def table(n: int = 150, rare: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes some way apart, of which the second is rare."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < rare).astype(int)
    return rng.normal(size=(n, 4)) + 2.0 * y[:, None], y


def test_all_classes_are_brought_to_the_size_of_the_largest():
    x, _ = table()
    y = np.repeat(["a", "b", "c"], [100, 30, 20])
    found = balance(x, y, **FAST)
    assert dict(zip(*np.unique(found.y, return_counts=True), strict=True)) == {
        "a": 100,
        "b": 100,
        "c": 100,
    }
    assert found.counts == {"b": 70, "c": 80}
    np.testing.assert_array_equal(found.x[:150], x)
    np.testing.assert_array_equal(found.y[:150], y)
    assert found.drawn.sum() == 150
    assert not found.drawn[:150].any()
    assert np.isfinite(found.x).all()
    for code, (name, m) in enumerate(found.counts.items(), 1):  # each under its own label
        drawn = found.run.sample(m, label=name, mean=True, seed=mix_seed(0, 7, code))
        np.testing.assert_array_equal(found.x[found.drawn & (found.y == name)], drawn)
    again = balance(x, y, **FAST)
    np.testing.assert_array_equal(again.x, found.x)


@pytest.mark.parametrize(
    ("strategy", "rare"),
    [("auto", 130), (0.5, 65), (0.1, 20), ({1: 50}, 50), ({"1": 50}, 50), ({1: 20}, 20)],
)
def test_the_strategy_says_how_many(strategy, rare):
    x, y = table()
    found = balance(x, y, sampling_strategy=strategy, **FAST)
    assert found.y.sum() == rare
    assert (found.run is None) == (rare == 20)


def test_drawn_rows_are_of_the_class_asked_for():
    x, y = table(400, 40)
    more = {"net": "mlp(hidden=(32,))", "learning_rate": 5e-3}
    found = balance(x, y, latent=2, epochs=40, mean=False, **more)
    means = balance(x, y, latent=2, epochs=40, **more)
    assert means.x[means.drawn].std() < found.x[found.drawn].std()
    new = found.x[found.drawn]
    assert new.mean(1).mean() == pytest.approx(2.0, abs=0.5)  # the mean of the rare class
    assert new.std(0).mean() == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("even", [True, False])
def test_rows_that_select_the_weights_are_not_trained_on(even):
    classes = classes_of(np.repeat(["a", "b", "c"], [100, 30, 2]))
    train, valid = _parts(classes, even, 0)
    assert set(train).isdisjoint(valid)
    assert set(train) | set(valid) == set(range(132))
    assert len(train) + len(valid) == 132 or even


def test_whole_columns_of_an_array_stay_whole_and_in_their_range():
    x, y = table()
    x[:, 1] = np.arange(150) % 7
    found = balance(x, y, **FAST)
    drawn = found.x[found.drawn]
    assert set(drawn[:, 1]) <= set(range(7))
    assert not (drawn[:, 0] == np.rint(drawn[:, 0])).any()


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_stays_a_frame_with_its_names_and_types(library):
    x, y = table()
    columns = {"count": np.arange(150) % 7, **{f"a{i}": x[:, i] for i in range(3)}}
    frame = library.DataFrame(columns)
    labels = (
        library.Series(name="kind", data=["yes" if v else "no" for v in y])
        if (library is pd)
        else library.Series("kind", ["yes" if v else "no" for v in y])
    )
    found = balance(frame, labels, **FAST)
    assert isinstance(found.x, library.DataFrame)
    assert list(found.x.columns) == list(columns)
    assert list(found.x.dtypes) == list(frame.dtypes)
    assert isinstance(found.y, library.Series)
    assert found.y.name == "kind"
    assert (found.y.to_numpy() == "yes").sum() == 130
    counts = found.x["count"].to_numpy()
    assert counts.min() >= 0
    assert counts.max() <= 6


@pytest.mark.parametrize(
    ("index", "last"),
    [(range(150), 259), (range(1000, 1150), 1259), (pd.RangeIndex(150) * 0.5, 259)],
)
def test_rows_of_pandas_are_numbered_onwards(index, last):
    """Else a name stands for two rows, a given and a drawn one."""
    x, y = table()
    found = balance(pd.DataFrame(x, index=index), pd.Series(y, index=index), **FAST)
    assert found.x.index.equals(found.y.index)
    assert list(found.x.index[:150]) == list(index)
    assert list(found.x.index[150:]) == list(range(last - 109, last + 1))


WORDS = ["no" if i < 130 else "yes" for i in range(150)]


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(WORDS, dtype="category", name="kind"),
        pd.Series(WORDS, dtype="string"),
        pd.Series(np.arange(150) // 130, dtype="category"),
        pl.Series("kind", WORDS, dtype=pl.Enum(["no", "maybe", "yes"])),
        pa.chunked_array([pa.array(WORDS).dictionary_encode()]),
    ],
    ids=["category", "string", "category of numbers", "enum", "dictionary"],
)
def test_labels_stay_what_they_are(labels):
    found = balance(table()[0], labels, **FAST).y
    assert type(found) is type(labels)
    kind = "type" if isinstance(labels, pa.ChunkedArray) else "dtype"
    assert getattr(found, kind) == getattr(labels, kind)
    drawn = found[150:].to_pylist() if kind == "type" else found.to_numpy()[150:].tolist()
    assert {*map(str, drawn)} <= {"yes", "1"}
    assert len(found) == 260


@pytest.mark.parametrize("text", [pa.string(), pa.large_string()])
def test_types_of_arrow_stay_without_values_too(text):
    x, y = table()
    words = pa.array(["low" if v < 0 else "high" for v in x[:, 0]]).cast(text)
    frame = pa.table({"word": words, "never": pa.nulls(len(x)), "number": x[:, 1]})
    found = balance(frame, y, **FAST)
    assert found.x.schema.equals(frame.schema)
    assert found.x.slice(0, len(x)).equals(frame)
    assert len(found.x) == 260


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([pd.NA] * 150, dtype="Int64"),
        pd.Series(pd.period_range("2020-01", periods=3, freq="M")[np.arange(150) % 3]),
    ],
    ids=["whole numbers", "periods"],
)
def test_a_column_that_no_row_can_be_drawn_of_stays_empty(column):
    x, y = table()
    frame = pd.DataFrame({"number": x[:, 0], "kind": np.where(x[:, 1] > 0, "a", "b"), "x": column})
    found = balance(frame, y, **FAST).x
    assert found.dtypes.equals(frame.dtypes)
    assert found["x"].head(150).equals(frame["x"])
    assert found["x"].tail(110).isna().all()


def test_images_and_labels_keep_their_types():
    run = diabolo.data.load("digits").splits.train
    x = (run.x[:, 0].numpy()).astype(np.uint8)[:200]
    y = np.where(run.labels.numpy()[:200] == 8, 8, 0).astype(np.int16)
    found = balance(x, y, support="byte:17", **{**FAST, "epochs": 1})
    assert found.x.shape[1:] == (8, 8)
    assert found.x.dtype == np.uint8
    assert found.y.dtype == np.int16
    assert found.x.max() <= 16


def test_in_a_pipeline_of_imbalanced_learn():
    from imblearn.pipeline import make_pipeline
    from sklearn.base import clone

    from diabolo.estimators import Oversampler

    x, y = table()
    sampler = Oversampler(**{k: FAST[k] for k in ("epochs", "latent")}, random_state=0)
    X, Y = clone(sampler).fit_resample(x, y)
    assert len(X) == len(Y) == 260
    fitted = sampler.fit(x, y)
    assert fitted is sampler
    model = make_pipeline(sampler, LogisticRegression()).fit(x, y)
    assert model.score(x, y) > 0.8
    assert sampler.sample_counts_ == {"1": 110}


def test_a_column_that_is_a_copy_of_the_labels_is_named():
    x, y = table()
    x[:, 2] = 5.0 - 3 * y
    said: list[Any] = []
    balance(x, y, progress=said.append, **FAST)
    assert [s for s in said if "copy of the labels" in str(s)] == [
        "Column 2 is a copy of the labels: leave it out, unless it is known of rows whose class is "
        "not."
    ]
    frame = pd.DataFrame(x, columns=list("abcd"))
    said.clear()
    balance(frame, y, progress=said.append, **FAST)
    assert any("Column 'c' is a copy" in str(s) for s in said)


def test_names_of_rows_are_no_data_and_go_on():
    x, y = table()
    names = np.random.default_rng(0).permutation(150) + 500
    frame = pd.DataFrame(x, columns=list("abcd")).assign(id=names, name=[f"n{i}" for i in names])
    said = []
    found = balance(frame, y, progress=said.append, **FAST)
    assert found.run.schema.columns == tuple("abcd")
    assert "Columns 'id' (identifier), 'name' (identifier) are left out" in str(said[0])
    assert found.x["id"].is_unique
    assert found.x["name"][150:].isna().all()
    assert list(balance(pd.DataFrame(x), y, **FAST).x.columns) == [0, 1, 2, 3]


def test_what_balance_refuses():
    x, y = table()
    for labels, words in (
        (np.zeros(150), "All 150 rows have the same value of 'labels', 0"),
        (np.linspace(0, 1, 150), "numbers such as"),
        (y[:10], "Expected 150 values of 'labels'"),
        (
            [None, *y[1:]],
            r"'labels' has no value in row 0, .*: remove those rows or fill them in\.$",
        ),
        ([f"row {i}" for i in range(150)], "Each of the 150 rows has a value of 'labels' of its"),
    ):
        with pytest.raises(DiaboloError, match=words):
            balance(x, labels, **FAST)
    for strategy, words in (
        ("most", "sampling_strategy is 'auto'"),
        (1.5, "sampling_strategy is 'auto'"),
        ({1: 5}, "none is taken away"),
        ({7: 5}, "Unknown class in sampling_strategy: '7'"),
    ):
        with pytest.raises(DiaboloError, match=words):
            balance(x, y, sampling_strategy=strategy, **FAST)
    with pytest.raises(DiaboloError, match="no prior to sample from"):
        balance(x, y, "ae", **FAST)
    with pytest.raises(DiaboloError, match="'condition' is no option of balance"):
        balance(x, y, condition="labels", **FAST)
    with pytest.raises(DiaboloError, match="Did you mean 'latent'"):
        balance(x, y, lattent=3)


# The referee.


def test_the_corrected_test_is_that_of_nadeau_and_bengio():
    rng = np.random.default_rng(0)
    scores = {r: rng.normal(size=10) for r in REMEDIES}
    found = {g.other: g for g in _gains("balanced accuracy", scores, 0.25)}
    d = scores[OURS] - scores["SMOTE"]
    error = np.sqrt((0.1 + 0.25) * d.var(ddof=1))
    assert found["SMOTE"].value == pytest.approx(d.mean())
    assert found["SMOTE"].stderr == pytest.approx(error)
    raw = [
        2 * stats.t.sf(abs(v.mean()) / np.sqrt(0.35 * v.var(ddof=1)), 9)
        for v in (scores[OURS] - scores[r] for r in REMEDIES[:-1])
    ]
    smallest = min(raw)  # Holm: the least p is multiplied by the number of comparisons
    assert min(g.p for g in found.values()) == pytest.approx(min(1, 4 * smallest))
    assert max(g.p for g in found.values()) >= max(raw)


def test_a_gain_is_claimed_beyond_the_noise_only():
    rng = np.random.default_rng(1)
    base = rng.normal(0.7, 0.02, 10)
    scores = {r: base for r in REMEDIES} | {OURS: base + rng.normal(0.1, 0.01, 10)}
    assert {g.verdict for g in _gains("macro F1", scores, 0.25)} == {"gain"}
    scores[OURS] = base + rng.normal(0.005, 0.03, 10)
    assert {g.verdict for g in _gains("macro F1", scores, 0.25)} == {"within the noise"}
    scores[OURS] = base - 0.1 + rng.normal(0, 0.01, 10)
    assert {g.verdict for g in _gains("macro F1", scores, 0.25)} == {"loss"}
    scores[OURS] = base
    assert {g.verdict for g in _gains("macro F1", scores, 0.25)} == {"within the noise"}


@pytest.fixture(scope="module")
def judged() -> Any:
    x, y = table(120, 24)
    parts: list[float] = []
    found = referee(
        x,
        y,
        classifier=LogisticRegression(),
        grid={"C": (0.1, 1.0)},
        folds=3,
        repeats=1,
        inner=2,
        progress=parts.append,
        **{**FAST, "epochs": 1},
    )
    return found, parts


def test_the_referee_compares_all_remedies(judged):
    found, parts = judged
    assert parts[-1] == 1.0
    assert parts == sorted(parts)
    assert len(parts) == 9
    for metric in METRICS:
        assert set(found.scores[metric]) == set(REMEDIES)
        assert all(len(v) == 3 for v in found.scores[metric].values())
        assert all(0 <= s <= 1 for v in found.scores[metric].values() for s in v)
    assert min(found.scores["balanced accuracy"]["class weights"]) > 0.8  # two classes far apart
    assert len(found.gains) == 12
    assert len(found.verdicts) == 3
    assert json.loads(json.dumps(found.to_json()))["folds"] == [3, 1, 2]


def test_repeated_rows_are_all_near_copies(judged):
    near = judged[0].near
    again = near["random oversampling"]
    assert again.near == again.rows > 0
    assert again.ratio == 0
    assert near["SMOTE"].ratio < 1
    assert near[OURS].rows == near["SMOTE"].rows == again.rows


def test_new_rows_stand_beside_held_out_rows_of_their_class():
    rng = np.random.default_rng(0)
    flat = np.concatenate([rng.normal(0, 0.01, (100, 2)), rng.normal(size=(100, 2))])
    classes, every = classes_of(np.repeat(["close", "wide"], 100)), np.arange(200)
    train, test = every[::2], every[1::2]
    new = rng.normal(size=(50, 2))  # as wide as the second class is
    codes = np.concatenate([classes.codes[train], np.ones(50, np.int64)])
    made = Training(
        np.concatenate([flat[train], new]), codes, np.arange(100, 150), np.zeros(2), np.ones(2)
    )
    found = Contest(None, flat, classes, None, "cvae", True, None, 0, {}).near(made, train, test)
    assert found.ratio == pytest.approx(1, abs=0.3)


def test_copies_are_told_where_held_out_rows_have_twins():
    """Rows that stand in a table twice make the nearest held-out row lie at 0."""
    x, y = table(90, 30)
    x[::2] = x[1::2]  # each row twice, of one class but once
    quick = {**FAST, "epochs": 1, "classifier": LogisticRegression()}  # which no copy depends on
    found = referee(x, y, folds=3, repeats=1, inner=2, **quick).near
    assert found["random oversampling"].near == found["random oversampling"].rows
    assert found[OURS].near == 0


def test_no_remedy_learns_of_rows_that_it_is_judged_by(monkeypatch):
    x, y = table(90, 30)
    judged = []
    scores = Contest.scores

    def told(self, remedy, made, test, settings):
        known = made.x * made.scale + made.loc
        if remedy != OURS:  # whose draws are float32
            judged.append(np.abs(known[:, None] - self.flat[test]).max(2).min())
        return scores(self, remedy, made, test, settings)

    monkeypatch.setattr(Contest, "scores", told)
    more = {"classifier": LogisticRegression(), "grid": {"C": (0.1, 1.0)}, "epochs": 1}
    referee(x, y, folds=2, repeats=1, inner=2, **FAST | more)
    assert len(judged) == 4 * (2 + 2 * 2 * 2)  # in the outer and the inner folds, for each C
    assert min(judged) > 1e-6


def test_a_fold_in_which_nothing_lacks_draws_nothing():
    x, y = table(41, 20)  # 21 and 20 rows, and so 7 of either in two training parts of three
    judge = LogisticRegression()
    found = referee(x, y, classifier=judge, folds=3, repeats=1, inner=2, **FAST | {"epochs": 1})
    assert 0 < found.drawn < 1
    assert found.near["SMOTE"].rows == found.near[OURS].rows == round(3 * found.drawn)


def test_what_the_referee_refuses():
    x, y = table()
    with pytest.raises(DiaboloError, match="Class '1' has 4 rows, but 5 folds with 3 inner"):
        referee(x, (np.arange(150) < 4).astype(int), **FAST)
    with pytest.raises(DiaboloError, match="probabilities and class weights"):
        referee(x, y, classifier=KNeighborsClassifier(), **FAST)
    with pytest.raises(DiaboloError, match="'depth' is no setting of RandomForestClassifier"):
        referee(x, y, classifier=RandomForestClassifier(), grid={"depth": (1,)}, **FAST)
    with pytest.raises(DiaboloError, match="as many rows: there is nothing to balance"):
        referee(x, np.arange(150) % 2, **FAST)
    x[3, 1] = np.nan
    with pytest.raises(DiaboloError, match="Row 3 has a missing"):
        referee(x, y, **FAST)
    with pytest.raises(DiaboloError, match="folds is a whole number of 2 or more"):
        referee(x, y, folds=1, **FAST)


def test_the_referee_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "imblearn", None)
    x, y = table()
    with pytest.raises(DiaboloError, match=r"pip install 'diabolo\[balance\]'"):
        referee(x, y, folds=2, repeats=1, inner=2, **FAST)


def test_from_the_command_line(tmp_path, capsys):
    x, y = table(90, 20)
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["kind"] = ["rare" if v else "common" for v in y]
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.drop(columns="kind").to_csv(tmp_path / "numbers.csv", index=False)
    out = tmp_path / "y.csv"
    small = ["--set", *(f"{k}={v}" for k, v in FAST.items())]
    argv = ["balance", str(tmp_path / "x.csv"), "--label", "kind"]
    assert main([*argv, "--out", str(out), *small]) == 0
    assert "140 rows, of which 50 drawn (50 of rare)" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["a", "b", "c", "d", "kind", "drawn"]
    assert [r["kind"] for r in rows].count("rare") == 70
    np.testing.assert_allclose([float(r["a"]) for r in rows[:90]], x[:, 0])
    frame["crop"] = np.where(np.arange(90) % 3, "rye", "oats")  # a table of more kinds of columns
    frame["n"] = np.arange(90) % 5
    frame["dry"] = np.random.default_rng(0).random(90) < 0.5
    frame["half"] = np.random.default_rng(1).normal(5, 2, 90).round(1)
    frame = frame[["a", "kind", *(name for name in frame if name not in ("a", "kind"))]]
    frame.to_csv(tmp_path / "mixed.csv", index=False)
    mixed = ["balance", str(tmp_path / "mixed.csv"), "--label", "kind"]
    assert main([*mixed, "--out", str(out), *small]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == [*frame.columns, "drawn"]
    assert [r["kind"] for r in rows].count("rare") == 70
    assert {r["crop"] for r in rows} == {"rye", "oats"}
    assert {r["n"] for r in rows} <= set("01234")
    assert {r["dry"] for r in rows} == {"True", "False"}  # as they were written
    assert all(re.fullmatch(r"-?\d+\.\d", r["half"]) for r in rows)
    assert (
        out.read_text()
        .splitlines()[1]
        .startswith(
            (tmp_path / "mixed.csv")
            .read_text()
            .splitlines()[1]
            .partition(",rare")[0]
            .split(",co")[0]
        )
    )
    capsys.readouterr()
    assert main([*mixed, "--referee", *small]) == 2
    assert "Column 'crop' is not numeric, and the referee" in capsys.readouterr().err
    folds = ["--referee", "--folds", "2", "--repeats", "1", "--inner", "2"]
    assert main([*argv, *folds, *small]) == 0
    told = capsys.readouterr().out
    assert "VERDICT" in told
    assert "macro F1: rows drawn by the model are" in told
    frame.assign(id=[f"i{n}" for n in range(90)], one="a").to_csv(tmp_path / "x.csv", index=False)
    for words, sentence in (
        (argv, "--out FILE, --referee, or both"),
        ([*argv, "--out", str(out), "--folds", "3"], "--folds has an effect with --referee only"),
        ([*argv, "--referee", "--folds", "0"], "folds is a whole number"),
        ([*argv[:2], "--label", "sort", "--out", str(out)], "Unknown column: 'sort'"),
        (
            [*argv[:2], "--label", "id", "--out", str(out)],
            "Each of the 90 rows has a value of 'id'",
        ),
        (
            [*argv[:2], "--label", "one", "--out", str(out)],
            "All 90 rows have the same value of 'on",
        ),
        (
            ["balance", str(tmp_path / "numbers.csv"), "--label", "a", "--out", str(out)],
            "'a' name classes, but these are numbers",
        ),
        ([*argv, "--out", str(tmp_path / "y.npy")], "'.npy' holds one array"),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err
