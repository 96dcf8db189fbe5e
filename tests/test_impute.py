"""Holes in a user's data, filled in: frames, arrays, images, and the command line."""

from __future__ import annotations

import csv
import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import diabolo
from diabolo import DiaboloError
from diabolo.__main__ import main
from diabolo.cli import _written
from diabolo.data import load
from kinds import KINDS, table

SMALL: dict[str, Any] = {"latent": 2, "net": "mlp(hidden=(16,))"}
SHORT = "gibbs(chains=2, sweeps=3)"  # where types are asked about, and not how good values are


def holes(shape: tuple[int, ...], part: float = 0.3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < part


@pytest.fixture(scope="module")
def run() -> diabolo.Run:
    """A run of a table with holes."""
    whole = table().astype(float)
    return diabolo.fit(
        whole.mask(holes(whole.shape, seed=5)),
        "iwae",
        kinds=KINDS,
        epochs=30,
        batch_size=32,
        learning_rate=3e-3,
        missing="nan",
        k=5,
        **SMALL,
    )


@pytest.fixture(scope="module")
def digits() -> diabolo.Run:
    """A run of whole images."""
    return diabolo.fit(
        "digits",
        latent=8,
        epochs=25,
        batch_size=50,
        learning_rate=2e-3,
        limit=1000,
        net="mlp(hidden=(64,))",
    )


def test_a_table_is_filled_in_better_than_by_its_means(run: diabolo.Run) -> None:
    whole = table(400, seed=2).astype(float)
    hole = holes(whole.shape)
    given = whole.mask(hole)
    found = diabolo.impute(run, given, draws=3)
    assert found.method == "importance"
    assert (found.missing == hole).all()
    assert list(found.data.columns) == list(whole.columns)
    for filled in (found.data, *found.draws):
        assert isinstance(filled, pd.DataFrame)
        assert (filled.to_numpy()[~hole] == whole.to_numpy()[~hole]).all()  # bit for bit
        assert set(filled["kind"].unique()) <= {0, 1, 2}
        assert set(filled["member"].unique()) <= {0, 1}
        assert (filled["visits"] == filled["visits"].round()).all()
        assert filled["price"].min() > 0
        run.schema.data(filled)  # such as the run takes
    for j, name in enumerate(whole.columns):
        at = hole[:, j]
        error = np.abs(found.data[name] - whole[name])[at]
        if name in ("kind", "member"):
            plain = np.abs(whole[name].mode()[0] - whole[name])[at] > 0
            assert (error > 0).mean() < plain.mean()
        else:
            plain = np.abs(given[name].mean() - whole[name])[at]
            assert np.sqrt((error**2).mean()) < 0.85 * np.sqrt((plain**2).mean())
    numbers = np.isin(whole.columns, ["weight", "visits", "price", "grade"])
    inside = (found.low <= whole) & (whole <= found.high)
    assert 0.8 < inside.to_numpy()[hole & numbers].mean() < 1  # the model is no better than that
    classes = hole & ~numbers
    assert (found.certainty[classes] > 1 / 3).all()
    assert np.isnan(found.certainty[~classes]).all()
    assert np.isnan(found.low[~(hole & numbers)]).all()
    assert found.ess is not None
    assert (np.isnan(found.ess) == ~hole.any(1)).all()


def test_draws_have_the_spread_of_the_data_that_guesses_lack(run: diabolo.Run) -> None:
    whole = table(500, seed=3).astype(float)
    hole = np.zeros(whole.shape, bool)
    hole[:, 0] = True
    found = diabolo.impute(run, whole.mask(hole), draws=5)
    within = [np.std((d - found.data)["weight"]) for d in found.draws]
    assert min(within) > 1  # the noise of 2 about each group, as it was learned
    assert not found.draws[0].equals(found.draws[1])


def test_frames_of_any_library_and_type_come_back_as_they_are(run: diabolo.Run) -> None:
    frame = table(30, seed=4).astype({"visits": "Int64", "weight": "float32"})
    frame.insert(2, "name", [f"row {i}" for i in range(30)])
    frame.loc[3, "visits"] = pd.NA
    frame.loc[5, "weight"] = np.nan
    found = diabolo.impute(run, frame).data
    assert (found.dtypes == frame.dtypes).all()
    assert list(found.columns) == list(frame.columns)
    assert int(found.isna().sum().sum()) == 0
    same = frame.notna() & (found == frame).fillna(False)
    assert int((~same).sum().sum()) == 2
    other = pl.from_pandas(frame)
    again = diabolo.impute(run, other).data
    assert isinstance(again, pl.DataFrame)
    assert again.schema == other.schema
    assert again["visits"][3] == found["visits"][3]
    assert again["weight"][5] == pytest.approx(found["weight"][5], rel=1e-6)


def test_images_with_a_hole_are_filled_in(digits: diabolo.Run) -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images[1500:1560].astype(np.uint8)
    seen = np.ones((8, 8), bool)
    seen[2:6, 2:6] = False
    broken = np.where(seen, images, 7).astype(np.uint8)  # what stands in a hole does not matter
    found = diabolo.impute(digits, broken, mask=seen, method="gibbs(chains=4, sweeps=15)", draws=2)
    assert found.data.dtype == np.uint8
    assert found.data.shape == images.shape
    for filled in (found.data, *found.draws):
        assert (filled[:, seen] == images[:, seen]).all()
        assert filled.max() <= 16
    error = (found.data.astype(float) - images)[:, ~seen]
    plain = (load_digits().images[:1000].mean(0) - images)[:, ~seen]
    assert (error**2).mean() < 0.75 * (plain**2).mean()
    assert found.acceptance is not None
    assert ((found.acceptance > 0) & (found.acceptance <= 1)).all()
    floats = np.where(seen, images, np.nan)
    again = diabolo.impute(digits, floats, method="gibbs(chains=4, sweeps=15)")
    assert np.abs(np.rint(again.data) - found.data).max() == 0


def test_the_method_follows_what_the_run_was_fitted_on(
    run: diabolo.Run, digits: diabolo.Run
) -> None:
    x = digits.sample(3).astype(float)
    x[:, 0, 0] = np.nan
    assert diabolo.impute(digits, x).method == "gibbs"
    found = diabolo.impute(digits, x, method="importance(k=10)")
    assert "fewer than 10 of the draws" in found.notes[0]
    assert "missing='nan'" in found.notes[0]


def test_a_run_that_was_not_fitted_for_holes_says_what_would_serve() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[::4, 1] = np.nan
    for more, told in (({}, 1), ({"posterior": "experts"}, 0)):
        run = diabolo.fit(x, epochs=1, missing="nan", support="real", **more, **SMALL)
        notes = diabolo.impute(run, x).notes
        assert sum("posterior=experts" in note for note in notes) == told


def test_a_constant_column_is_filled_with_its_value() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=60), np.full(60, 3.5), rng.normal(size=60)])
    run = diabolo.fit(x, epochs=1, **SMALL)
    x[4, 1] = x[5, 2] = np.nan
    found = diabolo.impute(run, x, method="importance(k=5)")
    assert found.data[4, 1] == 3.5
    assert np.isfinite(found.data).all()
    assert (found.data == x)[~np.isnan(x)].all()  # float64, bit for bit
    assert np.isnan(found.low[4]).all()


def test_a_level_that_training_had_not_is_no_hole() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=90), "kind": np.array(["x", "y", "z"] * 30)})
    run = diabolo.fit(frame, epochs=1, unseen="missing", **SMALL)
    frame.loc[2, "kind"], frame.loc[3, "kind"], frame.loc[4, "a"] = "new", None, np.nan
    found = diabolo.impute(run, frame, method=SHORT)
    assert found.data.loc[2, "kind"] == "new"
    assert found.data.loc[3, "kind"] in {"x", "y", "z"}
    assert found.missing.sum() == 2
    assert np.isnan(found.certainty[2, 1])


def test_whole_data_come_back(run: diabolo.Run) -> None:
    whole = table(20, seed=6).astype(float)
    found = diabolo.impute(run, whole, draws=1)
    assert found.data.equals(whole)
    assert found.draws[0].equals(whole)
    assert found.notes == ()


def test_a_conditional_run_needs_its_condition() -> None:
    run = diabolo.fit("digits", "cvae", condition="labels", epochs=1, limit=300, **SMALL)
    x = run.sample(4, label="3").astype(float)
    x[:, :4] = np.nan
    found = diabolo.impute(run, x, labels=[3] * 4, method="gibbs(chains=2, sweeps=5)")
    assert np.isfinite(found.data).all()
    with pytest.raises(DiaboloError, match="conditional"):
        diabolo.impute(run, x)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mask": np.ones((3, 5), bool)}, "mask needs the shape of the data"),
        ({"mask": np.full((3, 6), 2)}, r"mask is True \(1\)"),
        ({"data": np.zeros((3, 4))}, "Expected data of shape"),
        ({"method": "mice"}, "Unknown method"),
        ({"draws": 1.5}, "draws is a whole number"),
    ],
)
def test_mistakes_are_told(run: diabolo.Run, change: dict[str, Any], sentence: str) -> None:
    given = {"data": table(3).to_numpy(float), **change}
    with pytest.raises(DiaboloError, match=sentence):
        diabolo.impute(run, **given)


def test_an_autoencoder_is_refused() -> None:
    run = diabolo.fit(np.random.default_rng(0).normal(size=(50, 3)), "ae", epochs=1, **SMALL)
    with pytest.raises(DiaboloError, match="no likelihood"):
        diabolo.impute(run, np.full((2, 3), np.nan))


def test_data_from_a_file_and_from_a_split(run: diabolo.Run, tmp_path: Path) -> None:
    whole = table(12, seed=7).astype(float).to_numpy()
    whole[0, 0] = whole[3, 1] = np.nan
    np.save(tmp_path / "x.npy", whole)
    found = diabolo.impute(run, tmp_path / "x.npy")
    assert isinstance(found.data, np.ndarray)
    assert np.isfinite(found.data).all()
    assert np.array_equal(found.data, diabolo.impute(run, whole).data)
    frame = pd.DataFrame(whole, columns=table(1).columns)
    frame.to_parquet(tmp_path / "x.parquet")
    again = diabolo.impute(run, tmp_path / "x.parquet").data
    assert again.to_pandas().equals(diabolo.impute(run, frame).data)
    split = run.data("valid")
    assert split is not None
    filled = diabolo.impute(run, split)
    assert filled.data.shape == (len(split), 6)
    assert bool(np.isfinite(filled.data.to_numpy(float)).all())


@pytest.fixture(scope="module")
def saved(run: diabolo.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in a folder, and beside it a table with empty cells."""
    folder = tmp_path_factory.mktemp("impute")
    run.save(folder / "run")
    whole = table(25, seed=8)
    whole.insert(1, "name", [f"row {i}" for i in range(25)])
    whole.mask(holes(whole.shape, 0.2) & (whole.columns != "name")).to_csv(
        folder / "x.csv", index=False
    )
    return folder


def test_the_command_line_gives_a_table_back_without_its_empty_cells(saved: Path) -> None:
    given = pd.read_csv(saved / "x.csv")
    words = ["impute", str(saved / "run"), str(saved / "x.csv")]
    bounds = ["--intervals", str(saved / "bounds.csv")]
    assert main([*words, "--out", str(saved / "filled.csv"), *bounds]) == 0
    filled = pd.read_csv(saved / "filled.csv")
    assert list(filled.columns) == list(given.columns)
    assert int(filled.isna().sum().sum()) == 0
    seen = given.notna()
    assert (filled[seen] == given[seen]).to_numpy()[seen.to_numpy()].all()
    ends = pd.read_csv(saved / "bounds.csv")
    gap = given["weight"].isna()
    assert (ends["low of weight"].notna() == gap).all()
    inside = filled["weight"][gap].between(ends["low of weight"][gap], ends["high of weight"][gap])
    assert inside.mean() > 0.9  # a mean lies in the middle 90 %, mostly
    assert main([*words, "--out", str(saved / "drawn.parquet"), "--draws", "3"]) == 0
    drawn = pd.read_parquet(saved / "drawn.parquet")
    assert list(drawn.columns) == ["draw", *given.columns]
    assert drawn["draw"].tolist() == [i for i in (1, 2, 3) for _ in range(len(given))]
    for _, one in drawn.groupby("draw"):
        one = one.drop(columns="draw").reset_index(drop=True)
        assert (one[seen] == given[seen]).to_numpy()[seen.to_numpy()].all()
    assert (
        not drawn["weight"][:25]
        .reset_index(drop=True)
        .equals(drawn["weight"][25:50].reset_index(drop=True))
    )


def test_both_ends_of_intervals_fit_no_npy(
    digits: diabolo.Run, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr("diabolo.cli.impute.open_run", lambda folder: digits)
    files = ["--out", str(tmp_path / "y.npy"), "--intervals", str(tmp_path / "ends.npy")]
    assert main(["impute", "run", "x.npy", *files]) == 2
    assert "'.npy' holds one array" in capsys.readouterr().err  # before any work


def test_intervals_in_a_file_are_values_of_their_columns(
    worded: diabolo.Run, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    frame = words(30).assign(since=lambda f: f["since"].dt.strftime("%Y-%m-%d"))
    run = replace(worded, schema=load(words().assign(size="M")).schema)
    frame = frame.assign(size=np.nan).mask(np.random.default_rng(1).random((30, 5)) < 0.3)
    monkeypatch.setattr("diabolo.cli.impute.open_run", lambda folder: run)
    frame.to_csv(tmp_path / "x.csv", index=False)
    ends = tmp_path / "ends.csv"
    argv = ["impute", "run", str(tmp_path / "x.csv"), "--out", str(tmp_path / "y.csv")]
    assert main([*argv, "--intervals", str(ends)]) == 0
    told = capsys.readouterr()
    assert "No intervals of 'city', 'member', 'size'" in told.err
    found = pd.read_csv(ends)
    wanted = [f"{end} of {name}" for name in ("height", "since") for end in ("low", "high")]
    assert list(found.columns) == wanted
    gap = frame["since"].isna()
    assert (found["low of since"].notna() == gap).all()
    assert found["low of since"][gap].str.match(r"20\d\d-\d\d-\d\d").all()
    assert (found["low of since"] <= found["high of since"])[gap].all()


def test_cells_of_a_csv_stay_as_they_were_written(
    worded: diabolo.Run, tmp_path: Path, monkeypatch: Any
) -> None:
    rows = [
        "height,city,since,member,code,note",
        '170.0,Bern,2020-01-31,True,007,"a, b"',
        ",Oslo,2020-02-01,False,1e3,NA",
        '165.50,Rome,,,0x,"say ""no"""',
        "160.0,,2020-02-01,True,8, ",
    ]
    text = "\n".join(rows) + "\n"
    (tmp_path / "x.csv").write_text(text)
    monkeypatch.setattr("diabolo.cli.impute.open_run", lambda folder: worded)
    argv = ["impute", "run", str(tmp_path / "x.csv"), "--out", str(tmp_path / "y.csv")]
    assert main(argv) == 0
    old = list(csv.reader(text.splitlines()))
    new = list(csv.reader((tmp_path / "y.csv").read_text().splitlines()))
    assert (tmp_path / "y.csv").read_text().splitlines()[1] == rows[1]
    changed = [(i, j) for i in range(5) for j in range(6) if old[i][j] != new[i][j]]
    assert changed == [(2, 0), (3, 2), (3, 3), (4, 1)]
    assert re.fullmatch(r"\d+\.\d+", new[2][0])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", new[3][2])
    assert new[3][3] in ("True", "False")
    assert main([*argv, "--draws", "2"]) == 0
    drawn = list(csv.reader((tmp_path / "y.csv").read_text().splitlines()))
    assert [r[1:] for r in (drawn[1], drawn[5])] == [old[1], old[1]]
    assert drawn[6][0] == "2"
    plain = (tmp_path / "y.csv").read_bytes()
    packed = [tmp_path / f"{name}.csv.gz" for name in "xy"]
    packed[0].write_bytes(gzip.compress(text.encode()))
    argv_ = ["impute", "run", str(packed[0]), "--out", str(packed[1]), "--draws", "2"]
    assert main(argv_) == 0
    assert gzip.decompress(packed[1].read_bytes()) == plain
    (tmp_path / "x.csv").write_text(text.replace("True", "TRUE").replace("False,1e3", ",1e3"))
    assert main(argv) == 0
    again = list(csv.reader((tmp_path / "y.csv").read_text().splitlines()))
    assert {again[2][3], again[3][3]} <= {"TRUE", "FALSE"}


@pytest.mark.parametrize(
    ("value", "least", "text"),
    [
        (58.0, 0, "58"), (58.0, 1, "58.0"), (12.3, 2, "12.30"), (0.125, 1, "0.125"),
        (float(np.float32(12.34)), 0, "12.34"), (1e300, 1, "1e+300"), (-2e-9, 0, "-2e-09"),
        (0.0, 1, "0.0"),
    ],
)  # fmt: skip
def test_new_numbers_have_the_decimals_of_their_column(value: float, least: int, text: str) -> None:
    column = pa.chunked_array([["1." + "0" * least if least else "1", "2.125"]])
    table = pa.table({"x": [value]})
    assert _written._text(table["x"], column, np.array([True])).to_pylist() == [text]


def test_holes_that_stay_are_not_counted(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "never": np.nan, "b": rng.normal(size=40)})
    run = diabolo.fit(frame, epochs=1, **SMALL)
    frame.loc[[2, 7], "b"] = np.nan
    frame.to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setattr("diabolo.cli.impute.open_run", lambda folder: run)
    assert main(["impute", "run", str(tmp_path / "x.csv"), "--out", str(tmp_path / "y.csv")]) == 0
    told = capsys.readouterr()
    assert "2 holes in 2 of 40 rows are filled in" in told.out
    assert "'never' was never seen in training: its holes stay" in told.err


def test_the_command_line_fills_in_images(digits: diabolo.Run, tmp_path: Path) -> None:
    digits.save(tmp_path / "run")
    x = digits.sample(5, seed=3)
    seen = np.ones((8, 8), bool)
    seen[3:5] = False
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "seen.npy", seen)
    words = ["impute", str(tmp_path / "run"), str(tmp_path / "x.npy"), "--draws", "2"]
    words += ["--mask", str(tmp_path / "seen.npy"), "--method", "gibbs(chains=2, sweeps=4)"]
    assert main([*words, "--out", str(tmp_path / "y.npz")]) == 0
    with np.load(tmp_path / "y.npz") as found:
        assert found["x"].shape == (2, 5, 8, 8)
        assert (found["x"][:, :, seen] == x[:, seen]).all()
        assert (found["low"] <= found["high"])[:, ~seen].all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "y.xls"], "The extension of --out"),
        (["--out", "y.csv", "--method", "mean"], "Unknown method"),
        (["--out", "y.csv", "--labels", "nme"], "Did you mean 'name'"),
        (["--out", "y.csv", "--mask", "x.csv"], "--mask is a .npy file"),
    ],
)
def test_mistakes_on_the_command_line_leave_nothing(
    saved: Path, words: list[str], sentence: str, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(saved)
    assert main(["impute", "run", "x.csv", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path(words[1]).exists()


@pytest.fixture(scope="module")
def worded() -> diabolo.Run:
    """A run of a table with words."""
    return diabolo.fit(words(), epochs=1, **SMALL)


def words(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "height": rng.normal(170, 8, n),
            "city": np.array(["Bern", "Oslo", "Rome"])[rng.integers(0, 3, n)],
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 90, n), "D"),
            "member": rng.random(n) < 0.5,
        }
    )


@pytest.mark.parametrize("name", ["height", "city", "since", "member"])
@pytest.mark.parametrize("library", ["None", "nan", "polars", "arrow"])
def test_a_column_without_any_value_is_filled_in(
    worded: diabolo.Run, library: str, name: str
) -> None:
    whole = words()
    given: Any = whole.assign(**{name: np.nan if library == "nan" else None})
    if library == "polars":
        given = pl.from_pandas(whole).with_columns(pl.lit(None).alias(name))
    if library == "arrow":  # as a column of empty cells is read from a CSV file
        table = pa.Table.from_pandas(whole, preserve_index=False)
        at = table.column_names.index(name)
        given = table.set_column(at, name, pa.nulls(len(whole)))
    found = diabolo.impute(worded, given, method=SHORT).data
    assert type(found) is type(given)
    new = found[name].to_pylist() if library == "arrow" else found[name].to_list()
    some = {"height": float, "city": str, "since": pd.Timestamp, "member": bool}[name]
    if name == "since":
        new = [pd.Timestamp(v) for v in new]
    assert all(isinstance(v, some) and v == v for v in new)


def test_types_of_arrow_stay(worded: diabolo.Run) -> None:
    frame = words().astype({"city": "category", "member": "boolean"})
    frame.loc[:5] = None
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.set_column(1, "city", pc.cast(table["city"], pa.string()).cast(kind))
        found = diabolo.impute(worded, table, method=SHORT).data
        assert found.schema.equals(table.schema)
        assert found.slice(6).to_pylist() == table.slice(6).to_pylist()
        assert not any(column.null_count for column in found.columns)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_dates_of_polars_are_filled_in_in_their_unit(worded: diabolo.Run, unit: Any) -> None:
    frame = pl.from_pandas(words()).with_columns(pl.col("since").cast(pl.Datetime(unit)))
    given = frame.with_columns(pl.when(pl.int_range(pl.len()) > 5).then("since").alias("since"))
    found = diabolo.impute(worded, given, method=SHORT).data
    assert found.schema == frame.schema
    assert found["since"][6:].equals(frame["since"][6:])
    assert found["since"].dt.year().is_between(2019, 2021).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "Int8"])
def test_whole_numbers_of_any_size_are_filled_in_where_a_mask_says(dtype: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.poisson(4, 60)}).astype({"b": dtype})
    seen = np.ones((60, 2), bool)
    seen[:9, 1] = False
    run = diabolo.fit(frame, epochs=1, **SMALL)
    found = diabolo.impute(run, frame, mask=seen, method=SHORT).data
    assert found.dtypes.equals(frame.dtypes)
    assert found[9:].equals(frame[9:])


def test_labels_that_are_the_tables_own_condition_are_told() -> None:
    frame = words()
    conditional = diabolo.fit(frame, "cvae", condition="city", epochs=1, **SMALL)
    with pytest.raises(DiaboloError, match=r"condition is 'city', on which labels have no effect"):
        diabolo.impute(conditional, frame, labels=frame["city"])
    with pytest.raises(DiaboloError, match="labels have no effect"):
        conditional.score(frame, labels=np.zeros(len(frame)))
