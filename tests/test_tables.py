"""Tables: kinds of columns, frames in and out, missing values, and what is told or refused."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

import diabolo
from diabolo import DiaboloError
from diabolo.__main__ import main
from diabolo.config import DataConfig
from diabolo.data import Schema, load, read
from diabolo.data.table import Frame
from diabolo.data.table.steps import on_steps, step_of, step_of_times
from diabolo.errors import DiaboloWarning
from diabolo.recipes import build
from diabolo.spec import Spec

N = 300
TEXT = pa.string()
SMALL: dict[str, Any] = {"latent": 2, "net": "mlp(hidden=(16,))", "epochs": 2}
KINDS = {
    "age": "count",
    "weight": "real",
    "income": "positive",
    "city": "category:3",
    "grade": "ordinal:5",
    "size": "ordinal:3",
    "member": "binary",
    "day": "real",
    "visits": "count",
}


def people(n: int = N, seed: int = 0) -> pd.DataFrame:
    """People with a column of each kind; nothing is missing."""
    rng = np.random.default_rng(seed)
    sizes = pd.Categorical(rng.choice(["S", "M", "L"], n), ["S", "M", "L"], ordered=True)
    return pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "weight": rng.normal(70, 10, n),
            "income": np.exp(rng.normal(10, 1, n)),
            "city": rng.choice(["Bern", "Oslo", "Rome"], n, p=[0.2, 0.3, 0.5]),
            "grade": rng.integers(1, 6, n),
            "size": sizes,
            "member": rng.random(n) < 0.3,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
            "visits": rng.poisson(3, n).astype(np.int16),
        }
    )


def holes(frame: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """The same with a tenth of all values missing."""
    keep = np.random.default_rng(seed).random(frame.shape) > 0.1
    return frame.convert_dtypes().where(pd.DataFrame(keep, columns=frame.columns))


def told(frame: Any, **config: Any) -> str:
    return " ".join(load(frame, DataConfig(**config)).notes)


def as_library(frame: pd.DataFrame, library: str) -> Any:
    if library == "pandas":
        return frame
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata(None) if library == "pyarrow" else pl.from_arrow(table)


@pytest.fixture(scope="module")
def run() -> diabolo.Run:
    return diabolo.fit(holes(people()), **SMALL)


# Kinds.


def test_kinds_are_inferred_column_by_column() -> None:
    found = load(people())
    assert dict(zip(found.schema.columns, found.schema.kinds, strict=True)) == KINDS
    (sentence,) = [n for n in found.notes if n.startswith("A table")]
    assert "'age', 'visits' as count" in sentence
    assert "'city' as category" in sentence


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(60) % 2, "boolean"),
        (np.arange(60) % 2 == 0, "boolean"),
        (np.arange(60) % 5 + 1, "ordinal"),
        (np.arange(60) % 4, "ordinal"),  # codes vary less than counts do
        (np.arange(60) % 5 - 2, "ordinal"),
        (np.arange(60) ** 2 % 61, "count"),
        (np.arange(60) * 7 % 61 + 1950, "real"),  # years
        (np.linspace(-1, 1, 60), "real"),
        (np.linspace(50, 90, 60), "real"),
        (np.geomspace(1, 1e4, 60), "positive"),
        (pd.date_range("2020", periods=60), "date"),
        (["a", "b", "c"] * 20, "category"),
        ([f"b{i}" for i in range(60)], "left out"),
        (range(3, 63), "left out"),
        ([f"it was {i} o'clock in the morning" for i in range(60)], "left out"),
        ([f"x{i % 55}" for i in range(60)], "left out"),
    ],
)
def test_a_kind_follows_from_the_values(values: Any, kind: str) -> None:
    frame = pd.DataFrame({"x": values, "other": ["u", "v", "w"] * 20})
    table = load(frame).schema.table
    assert table is not None
    found = {c.name: c.kind for c in table.columns}
    assert found.get("x", "left out") == kind


def test_kinds_are_said_by_name() -> None:
    said = {"age": "real", "grade": "category", "visits": "ordinal", "weight": "skip"}
    found = load(people(), DataConfig(kinds=said))
    assert found.schema.table is not None
    kinds = {c.name: c.kind for c in found.schema.table.columns}
    assert {n: kinds.get(n, "skip") for n in said} == said
    assert found.schema.columns == tuple(n for n in people().columns if n != "weight")
    size = load(people().astype({"size": str}), DataConfig(kinds={"size": "ordinal:S<M<L"}))
    assert size.schema.table is not None
    assert size.schema.table.columns[5].levels == ("S", "M", "L")


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ({"agee": "real"}, r"Unknown column in data.kinds: 'agee'. Did you mean 'age'\?"),
        ({"age": "reel"}, r"Unknown kind of column 'age': 'reel'. Did you mean 'real'\?"),
        ({"city": "count"}, "Column 'city' holds numbers, but row 0 has the text"),
        ({"city": "ordinal"}, r"Column 'city' is text, whose order is not known.*Bern<Oslo<Rome"),
        ({"city": "ordinal:Bern<Oslo"}, r"Column 'city' has the level 'Rome' in row \d+"),
        ({"city": "date"}, "Column 'city' holds dates, but '(Rome|Oslo|Bern)' in row 0 is none"),
        ({"name": "category"}, "Column 'name' has another value in each row"),
        ({"fixed": "real"}, "Column 'fixed' is constant"),
        ({"never": "real"}, "Column 'never' has no value"),
        ({"weight": "count"}, r"non-negative integers \(count\), but got .*column 'weight'"),
        ({"grade": "ordinal:4"}, r"Column 'grade' has the level '(4|5)' in row"),
        ({"grade": "real:4"}, "the kind of column 'grade'"),
        ({"day": "category"}, "'day' holds dates, so that it cannot be 'category'"),
        ({"pair": "category"}, "'pair' is of type list.*, of which nothing is learned"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(kinds: dict[str, str], sentence: str) -> None:
    frame = people().assign(name=[f"p{i}" for i in range(N)], fixed=1.0, never=np.nan)
    frame["pair"] = [[1, 2]] * N
    with pytest.raises(DiaboloError, match=sentence):
        load(frame, DataConfig(kinds=kinds))


def test_numbers_of_one_support_stay_one_array() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    found = load(pd.DataFrame(x, columns=list("abc")))
    assert (found.schema.support, found.schema.kinds) == ("real", ())
    assert found.splits.train.x.equal(load(x).splits.train.x)
    bits = pd.DataFrame((x > 0).astype(int), columns=list("abc"))
    assert load(bits).schema.support == "binary"
    pixels = pd.DataFrame(np.random.default_rng(0).integers(0, 256, (30, 64)))
    assert load(pixels).schema.support == "count"


def test_columns_that_are_no_data_are_named() -> None:
    frame = people().assign(
        name=[f"p{i}" for i in range(N)], nr=range(N), fixed="a", never=None, kept=2.5
    )
    found = load(frame)
    notes = " ".join(found.notes)
    assert "'name' (identifier), 'nr' (running number) are left out" in notes
    assert "Columns 'fixed', 'kept' are constant" in notes
    assert "Column 'never' has no value" in notes
    assert found.schema.event == (len(KINDS),)
    back = found.schema.restore(found.splits.train.batch(torch.arange(5)).x)
    assert list(back.columns) == [*KINDS, "fixed", "never", "kept"]
    assert set(back["fixed"]) == {"a"}
    assert back["never"].isna().all()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.random.default_rng(0).permutation(N) + 7, "identifier"),
        (np.random.default_rng(0).permutation(2 * N)[:N], "identifier"),
        (2**60 + np.arange(N) % 50, "identifier"),
        (np.random.default_rng(0).integers(0, N, N), None),
        (1000 * np.random.default_rng(0).permutation(N), None),
        (
            [f"$1,{i:03}.5" for i in range(N)],
            r"numbers such as '\$1,000.5', to be written as 1234.5",
        ),
        ([f"{i % 50},5" for i in range(N)], "numbers such as '0,5', to be written as 1234.5"),
        ([f"{i % 90} %" for i in range(N)], "numbers such as '0 %', to be written as 1234.5"),
        ([f"{1 + i % 28}.{1 + i % 12}.2024" for i in range(N)], "dates such as '1.1.2024'"),
        ([f"{i % 50:05}" for i in range(N)], None),
        (pd.cut(np.arange(N), 4), "of type .*interval"),
        ([[1, 2]] * N, "of type list"),
    ],
)
def test_why_a_column_is_no_data(values: Any, why: str | None) -> None:
    found = load(pd.DataFrame({"v": values, "x": np.random.default_rng(1).normal(size=N)}))
    left = dict(found.schema.table.left_out)  # type: ignore[union-attr]
    assert "v" not in left if why is None else re.search(why, left["v"]), left


def test_rare_levels_share_a_code() -> None:
    frame = people()
    frame.loc[:2, "city"] = ["Ulm", "Linz", "Linz"]
    found = load(frame, DataConfig(seed=3))
    assert found.schema.kinds[3] == "category:4"
    assert "Rare levels of 'city' (2 of 5)" in " ".join(found.notes)
    assert load(frame, DataConfig(rare=0)).schema.kinds[3] == "category:5"
    new = found.schema.data(frame.head(3).assign(city=["Ulm", "Nice", "Rome"]))
    assert new.x[:, 3].tolist() == [3, 3, 2]
    # Of levels that share a code each is written as often as it came.
    codes = found.schema.data(pd.concat([frame.head(1)] * 60)).x
    assert set(found.schema.restore(codes)["city"]) == {"Ulm", "Linz"}


# In and out.


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_what_comes_out_is_the_frame_that_went_in(library: str) -> None:
    frame = as_library(people(), library)
    found = load(frame, DataConfig(valid=1))
    data = found.schema.data(frame)
    back = found.schema.restore(data.batch(torch.arange(N)).x)
    assert type(back) is type(frame)
    before, after = Frame.of(frame), Frame.of(back)
    assert after.every == before.every
    assert after.dtypes == before.dtypes
    for name, column in before.columns.items():
        assert after.columns[name].type == column.type
        a, b = column.to_pylist(), after.columns[name].to_pylist()
        if isinstance(a[0], float):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        else:
            assert a == b


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2020-03-01 12:30", periods=40, freq="h", tz="Europe/Rome"),
        pd.array([1, None, 3, 5] * 10, dtype="Int64"),
        pd.array([True, None, False, True] * 10, dtype="boolean"),
        pd.Series(["a", "b", None, "b"] * 10, dtype=object),
        pd.Categorical(["a", "b", None, "b"] * 10, categories=["b", "a", "unused"]),
        pd.Categorical([3, 1, 2, 2] * 10),
        pd.Categorical(
            pd.to_datetime(["2020-01-01", "2021-01-01", "2024-01-01"] * 13 + ["2020-01-01"])
        ),
        pd.Series([Decimal("1.25"), Decimal("-7.5"), Decimal("20"), Decimal("3")] * 10),
        pd.array([1.25, -7.5, 20.0, 3.0] * 10, dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        pd.array(["a", "b", None, "b"] * 10, dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), TEXT))),
        pd.array(["a", "b", None, "b"] * 10, dtype=pd.ArrowDtype(TEXT)),
        np.linspace(0, 1, 40, dtype=np.float32),
    ],
)
def test_types_of_pandas_are_kept(values: Any) -> None:
    frame = pd.DataFrame({"x": values, "y": ["u", "v"] * 20})
    found = load(frame, DataConfig(valid=1))
    data = found.schema.data(frame)
    back = found.schema.restore(data.batch(torch.arange(40)).x)
    assert back["x"].dtype == frame["x"].dtype
    assert {*map(type, back["x"].dropna())} == {*map(type, frame["x"].dropna())}
    assert Schema.from_json(json.loads(json.dumps(found.schema.to_json()))) == found.schema
    seen = frame["x"].notna()
    if back["x"].dtype == np.float32:
        np.testing.assert_allclose(back["x"], frame["x"], rtol=1e-6)
    elif isinstance(frame["x"].dtype, pd.DatetimeTZDtype):
        assert (back["x"] - frame["x"]).abs().max() < pd.Timedelta("1s")
    else:
        assert (back["x"][seen] == frame["x"][seen]).all()


@pytest.mark.parametrize(
    ("library", "kind"),
    [
        ("polars", pa.decimal128(10, 2)),
        ("pyarrow", pa.decimal128(10, 2)),
        ("pyarrow", pa.decimal256(50, 2)),
    ],
)
def test_decimals_are_kept_within_their_digits(library: str, kind: pa.DataType) -> None:
    """Numbers of a model that a type of decimals cannot hold are its largest."""
    x = pa.array([0.01, 2.5, 7.25, 10] * 10).cast(kind)
    table = pa.table({"x": x, "y": pa.array(["u", "v"] * 20)})
    frame = table if library == "pyarrow" else pl.from_arrow(table)
    schema = load(frame, DataConfig(valid=1)).schema
    assert schema.table is not None
    back = schema.table.decode(np.array([[2.499, 0], [1e30, 1]]))
    assert Frame.of(back).columns["x"].type == Frame.of(frame).columns["x"].type
    some = [2.5, 99999999.99 if kind.precision == 10 else 1e30]
    assert [*map(float, back["x"].to_pylist() if library == "pyarrow" else back["x"])] == some


BLANKS = [
    pd.array([None] * 40, dtype="datetime64[ns]"),
    pd.array([None] * 40, dtype="datetime64[ms, UTC]"),
    pd.Categorical([None] * 40, categories=["a", "b"]),
    pd.array([None] * 40, dtype="string"),
    pd.array([None] * 40, dtype="boolean"),
    pd.array([None] * 40, dtype="Int8"),
    np.full(40, np.nan),
    np.full(40, None),
]


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("blank", BLANKS, ids=lambda blank: str(blank.dtype))
def test_a_column_that_never_had_a_value_may_be_of_any_type(blank: Any, numbers: bool) -> None:
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 40), "y": ["u", "v"] * 20, "z": blank})
    frame = frame.drop(columns="y") if numbers else frame  # which are one array then
    schema = load(frame, DataConfig(valid=1)).schema
    data = schema.data(frame)
    back = schema.restore(data.batch(torch.arange(40)).x)
    assert back.dtypes.equals(frame.dtypes)
    assert back["z"].isna().all()
    for later in (1.5, "text", pd.Timestamp("2020-01-01")):  # nothing is known of it
        assert schema.data(frame.assign(z=later)).x.equal(data.x)


def test_holes_are_filled_in_with_values_of_their_columns(run: diabolo.Run) -> None:
    frame = holes(people()).head(60)
    found = diabolo.impute(run, frame, draws=1, method="importance(k=50)")
    for filled in (found.data, *found.draws):
        assert (filled.dtypes == frame.dtypes).all()
        assert not filled.isna().any().any()
        assert set(filled["city"]) <= {"Bern", "Oslo", "Rome"}
        assert filled["grade"].between(1, 5).all()
    for name in frame.columns:  # what was seen is what it was
        seen = frame[name].notna()
        assert (found.data[name][seen] == frame[name][seen]).all()
    low, high = found.low[:, 4], found.high[:, 4]  # of the grade, in its own numbers
    assert np.nanmin(low) >= 1
    assert np.nanmax(high) <= 5


def test_a_run_answers_in_frames(run: diabolo.Run) -> None:
    frame = people()
    for x in (
        run.sample(7),
        run.reconstruct(frame.head(7)),
        run.decode(np.zeros((7, 2))),
        run.interpolate(frame.head(1), frame.tail(1), steps=7),
        run.traverse(dims=[1], steps=7),
    ):
        assert isinstance(x, pd.DataFrame)
        assert list(x.columns) == list(frame.columns)
        assert len(x) == 7
        assert not x.isna().any().any()  # what is written is complete
    assert (run.sample(7).dtypes == frame.convert_dtypes().dtypes).all()
    x = run.sample(200)
    assert set(x["city"]) <= {"Bern", "Oslo", "Rome"}
    assert (x["day"] == x["day"].dt.normalize()).all()  # as in the data, no time of day


def test_rows_keep_their_names_and_frames_their_library(run: diabolo.Run) -> None:
    named = people(20).set_index(pd.Index([f"p{i}" for i in range(20)]))
    assert list(run.reconstruct(named).index) == list(named.index)
    other = run.reconstruct(as_library(people(20), "polars"))
    assert isinstance(other, pl.DataFrame)
    assert other["day"].dtype == as_library(people(20), "polars")["day"].dtype


def test_names_that_are_numbers_are_kept() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    frame = pd.DataFrame(np.where(x > 1.5, np.nan, x)).assign(**{"k": np.nan})
    run = diabolo.fit(frame, **SMALL)
    assert list(run.reconstruct(frame).columns) == [0, 1, 2, "k"]
    filled = diabolo.impute(run, frame, method="importance(k=5)").data
    assert filled.dtypes.equals(frame.dtypes)
    assert filled[[0, 1, 2]].notna().all().all()


def test_a_note_names_another_kind() -> None:
    assert "as in kinds={'age': 'real'}" in told(people()[["age", "city"]])
    assert "as in kinds={'weight': 'skip'}" in told(people()[["weight", "city"]])


@pytest.mark.parametrize("days", [30, N])  # a category, and an identifier
def test_dates_as_text_are_told(days: int) -> None:
    text = pd.Series(np.arange(N) % days + np.datetime64("2020-01-01")).dt.strftime("%Y-%m-%d")
    text[7] = None
    said = told(people().assign(since=text))
    assert "Column 'since' holds dates as text: kinds={'since': 'date'} reads them so." in said
    assert "as text" not in told(people().assign(since=text), kinds={"since": "date"})


def test_a_column_that_32_bits_hardly_tell_apart_is_told() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)) * 10_000
    near = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    assert "32 bits" not in told(near)
    assert re.search(r"'b' \(\d.*32 bits.*subtract", told(near.assign(b=near["b"] + 1.6e12)))


def test_a_saved_run_reads_and_writes_alike(run: diabolo.Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    assert again.schema == run.schema
    pd.testing.assert_frame_equal(again.sample(9), run.sample(9))
    np.testing.assert_array_equal(again.score(people(9), k=3), run.score(people(9), k=3))
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    city = facts["schema"]["table"]["columns"][3]
    assert (city["name"], city["levels"]) == ("city", ["Bern", "Oslo", "Rome"])
    assert Schema.from_json(facts["schema"]) == run.schema


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "arrow", "feather"])
def test_files_of_tables_are_read_as_the_frame_is(kind: str, tmp_path: Path) -> None:
    frame = holes(people()).astype({"size": "string"})
    frame = frame.assign(size=pd.Categorical(frame["size"], ["S", "M", "L"], ordered=True))
    path = tmp_path / f"x.{kind}"
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        pyarrow.feather.write_feather(frame, path)
    kinds = {"size": "ordinal:S<M<L"}
    found, whole = load(path, DataConfig(kinds=kinds)), load(frame, DataConfig(kinds=kinds))
    assert found.schema.kinds == whole.schema.kinds
    assert found.schema.columns == whole.schema.columns
    assert found.splits.train.mask is not None
    assert whole.splits.train.mask is not None
    assert found.splits.train.mask.equal(whole.splits.train.mask)
    torch.testing.assert_close(found.splits.train.x, whole.splits.train.x)
    assert read(path, whole.schema).x.equal(read(path, found.schema).x)


@pytest.mark.usefixtures("undrawn")
def test_the_command_line_writes_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holes(people()).to_csv(tmp_path / "x.csv", index=False)
    small = ["latent=2", "net=mlp(hidden=(8,))", "train.epochs=1"]
    out = tmp_path / "run"
    fit = ["fit", str(tmp_path / "x.csv"), "--set", *small, "--k", "2", "--out", str(out)]
    assert main([*fit, "--kinds", "age=real", "size=category"]) == 0
    told = capsys.readouterr()
    assert "'age', 'weight' as real" in told.err
    for kind in ("csv", "parquet", "arrow"):
        path = tmp_path / f"s.{kind}"
        assert main(["sample", str(out), "-n", "6", "--out", str(path)]) == 0
        frame = {"csv": pd.read_csv, "parquet": pd.read_parquet, "arrow": pd.read_feather}[kind](
            path
        )
        assert list(frame.columns) == list(KINDS)
        assert set(frame["city"]) <= {"Bern", "Oslo", "Rome"}
        assert frame["age"].dtype == np.int64
        assert str(frame["day"][0]).startswith("202")
    data = str(tmp_path / "x.csv")
    for verb in ("reconstruct", "encode", "score"):
        path = tmp_path / f"{verb}.csv"
        assert main([verb, str(out), data, "--out", str(path)]) == 0
        assert len(pd.read_csv(path)) == N
    path = tmp_path / "t.csv"
    assert main(["traverse", str(out), "--steps", "3", "--out", str(path)]) == 0
    assert pd.read_csv(path)["step"].tolist() == [0, 1, 2] * 2
    capsys.readouterr()
    assert main(["sample", str(out), "--out", str(tmp_path / "s.npy")]) == 2
    assert "columns of text or dates" in capsys.readouterr().err
    people().assign(more=1).to_csv(tmp_path / "y.csv", index=False)
    assert main(["score", str(out), str(tmp_path / "y.csv"), "--out", str(path)]) == 0
    assert "note: Column 'more' was not there in training: passed over." in capsys.readouterr().err


# Missing values.


def test_missing_values_are_not_seen_and_told(run: diabolo.Run) -> None:
    frame = holes(people())
    found = load(frame)
    mask = found.splits.train.mask
    assert mask is not None
    rows = found.splits.train.rows.numpy()
    assert np.array_equal(mask.numpy(), frame.notna().to_numpy()[rows])
    assert re.search(r"values are missing, in .*'grade' \(11 %\).*never filled in", told(frame))
    assert load(people()).splits.train.mask is None
    with pytest.raises(DiaboloError, match="missing values"):
        load(frame, DataConfig(missing="refuse"))
    # Nothing is to be explained of a row without values: log p of nothing is 0.
    empty = pd.DataFrame({n: pd.array([pd.NA] * 3, t) for n, t in frame.dtypes.items()})
    np.testing.assert_allclose(run.score(empty, k=2000), 0, atol=0.2)


def test_words_for_missing_values_in_text_files(tmp_path: Path) -> None:
    words = ["", "NA", "?", " ? ", "nan", "N/A"]
    rows = [
        f"{words[i % 6] if i < 6 else i % 7 + 5.5},{words[i % 6] if i < 12 else 'ab'[i % 2]}"
        for i in range(60)
    ]
    (tmp_path / "x.csv").write_text("\n".join(["x,y", *rows]))
    found = load(tmp_path / "x.csv", DataConfig(valid=1))
    whole = read(tmp_path / "x.csv", found.schema)
    assert whole.mask is not None
    assert (~whole.mask).sum(0).tolist() == [6, 12]
    assert found.schema.kinds == ("real", "category:2")


def test_empty_rows_are_told() -> None:
    frame = people()
    frame = frame.astype(object).where(pd.Series(np.arange(N) >= 2), None).convert_dtypes()
    assert "2 rows have no value at all" in told(frame)


# Steps.

X = np.random.default_rng(5).normal(50, 20, 400)
NARROW = X.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (X, None),
        (NARROW, None),
        (1e6 * X, None),
        (np.exp(X / 4).astype(np.float32).astype(np.float64), None),
        (X.round(2), 0.01),
        (X.round(2).astype(np.float32).astype(np.float64), 0.01),
        ((X / 1000).round(6), 1e-6),
        (X.round(7), None),
        (np.rint(X), 1),
        (np.rint(X) / 2, 0.5),
        (5 * np.rint(X), 5),
        (np.append(X.round(1), 9.53333333333333), 0.1),  # one that was computed
        (np.append(X.round(1), np.nan), 0.1),
        (np.repeat([4.5, 9.0], 20), 0.1),  # too few to tell a wider one
        (X[:5].round(2), None),
    ],
)
def test_a_step_is_what_all_values_are_multiples_of(values: Any, step: float | None) -> None:
    assert step_of(values) == step
    if step is not None:  # and each value is that of the decimal number
        again = on_steps(values.astype(np.float32), step, "real")
        near = np.abs(values - np.rint(values / step) * step) < 1e-4 * step
        written = np.array([float(f"{v:.6g}") for v in values])
        assert np.array_equal(again[near], written[near], equal_nan=True)


def test_steps_stay_inside_the_support() -> None:
    low = np.array([1e-4, 0.3, np.nan])
    assert on_steps(low, 0.5, "positive").tolist()[:2] == [0.5, 0.5]
    assert on_steps(low, 0.5, "real").tolist()[:2] == [0, 0.5]
    assert on_steps(np.array([0.999, 0.0]), 0.3, "unit").tolist() == [0.9, 0]
    assert np.isnan(on_steps(low, 0.5, "positive")[2])


def test_steps_of_dates_are_units_of_time() -> None:
    days = np.random.default_rng(0).integers(0, 300, 60) * 86_400e6
    assert [step_of_times(t) for t in (days, 7 * days, days / 24)] == [1, 7, 1 / 24]
    assert step_of_times(days + 1e5 * np.arange(60)) is None


def rounded(n: int = 200) -> pd.DataFrame:
    """Columns with a step each, and one without."""
    rng = np.random.default_rng(4)
    start = pd.Timestamp("2024-01-01 08:00")
    return pd.DataFrame(
        {
            "price": np.exp(rng.normal(0, 2, n)).clip(0.05).round(2),
            "half": (rng.normal(5, 2, n) * 2).round() / 2,
            "five": (5 * rng.normal(5, 4, n).round()).astype(int),
            "free": rng.normal(0, 1, n),
            "when": start + pd.to_timedelta(15 * rng.integers(0, 900, n), "min"),
            "kind": rng.choice(["a", "b"], n),
        }
    )


STEPS = {"price": 0.01, "half": 0.5, "five": 5, "free": None, "when": 1 / 96, "kind": None}


def on_grid(frame: pd.DataFrame) -> bool:
    whole = [(frame["price"] == frame["price"].round(2)), (frame["half"] * 2) % 1 == 0]
    whole += [frame["five"] % 5 == 0, frame["price"] > 0, frame["when"].dt.minute % 15 == 0]
    return bool(pd.concat(whole, axis=1).to_numpy().all())


@pytest.fixture(scope="module")
def stepped() -> diabolo.Run:
    return diabolo.fit(rounded(), **SMALL)


def test_draws_lie_on_the_steps_of_their_columns(stepped: diabolo.Run, tmp_path: Path) -> None:
    table = stepped.schema.table
    assert table is not None
    assert {c.name: c.step for c in table.columns} == pytest.approx(STEPS)
    codes = stepped.encode(rounded(50))
    for found in (
        stepped.sample(100),
        stepped.decode(codes, mean=False),
        stepped.reconstruct(rounded(50), mean=False),
        diabolo.synthesize(stepped, 50).data,
        replace(stepped, schema=Schema.from_json(stepped.schema.to_json())).sample(100),
    ):
        assert on_grid(found)
        assert not (found["free"] == found["free"].round(3)).any()
    mean = stepped.decode(codes)  # a mean is no value of the column, but for its type
    assert not ((mean["half"] * 2) % 1 == 0).any()
    assert mean["five"].dtype == "int64"
    stepped.sample(20).to_csv(tmp_path / "made.csv", index=False)
    lines = (tmp_path / "made.csv").read_text().splitlines()[1:]
    assert all(re.fullmatch(r"\d+\.\d\d?", line.split(",")[0]) for line in lines)


def test_fills_lie_on_the_steps_and_what_was_seen_stays(stepped: diabolo.Run) -> None:
    frame = rounded(60)
    frame.loc[3, "half"] = 3.21  # on no step
    hole = np.random.default_rng(0).random(frame.shape) < 0.3
    hole[3, 1] = False
    found = diabolo.impute(stepped, frame.mask(hole), draws=1, method="importance(k=20)")
    for filled in (found.data, *found.draws):
        assert filled.loc[3, "half"] == 3.21
        assert filled.astype(frame.dtypes).where(~hole).equals(frame.where(~hole))
        assert on_grid(filled.drop(index=3))


def test_tables_of_one_support_have_steps_too() -> None:
    frame = rounded()[["half", "free"]]
    for config in (DataConfig(), DataConfig(support="real")):
        table = load(frame, config).schema.table
        assert table is not None
        assert not table.mixed
        assert [c.step for c in table.columns] == [0.5, None]
    made = diabolo.fit(frame, **SMALL).sample(50)
    assert ((made["half"] * 2) % 1 == 0).all()


def test_a_schema_without_steps_is_read(stepped: diabolo.Run) -> None:
    old = json.loads(json.dumps(stepped.schema.to_json()))
    for column in old["table"]["columns"]:
        del column["step"]
    again = Schema.from_json(old)
    assert again.table is not None
    assert all(c.step is None for c in again.table.columns)


# New tables.


def test_columns_of_new_tables_may_have_another_order_and_type() -> None:
    frame = people()
    schema = load(frame).schema
    data = schema.data(frame)
    turned = frame[frame.columns[::-1]].astype({"age": float, "visits": "Int64", "city": object})
    turned["size"] = turned["size"].astype(str)
    turned["day"] = turned["day"].dt.strftime("%Y-%m-%d")
    assert schema.data(turned).x.equal(data.x)
    with pytest.warns(DiaboloWarning, match="Columns 'a', 'b' were not there in training"):
        assert schema.data(frame.assign(a=1, b="x")).x.equal(data.x)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"city": "Nice"}, "Column 'city' has the level 'Nice' in row 0.*Bern, Oslo, Rome"),
        ({"grade": 9}, "Column 'grade' has the level '9' in row 0"),
        ({"age": "old"}, "Column 'age' holds numbers, but row 0 has the text 'old'"),
        ({"day": "31.12.2020"}, "Column 'day' holds dates, but '31.12.2020' in row 0 is none"),
        ({"day": 3.5}, "Column 'day' holds dates, but these are double"),
        ({"weight": pd.Timestamp("2020-01-01")}, "Column 'weight' holds numbers, but these are"),
        ({"age": 0.5}, "Expected non-negative integers"),
        ({"income": -1.0}, "Expected values above 0"),
        ({"member": 2}, "Expected 0 or 1"),
        ({"weight": np.inf}, "infinite values, the first in row 0, column 'weight'"),
        ({"weight": 1e300}, "too large for float32"),
        ({"weight": [1.0, "a"] * 5}, "Column 'weight' has values of several types"),
        ({"weight": None}, None),
    ],
)
def test_new_tables_are_checked(change: dict[str, Any], sentence: str | None) -> None:
    schema = load(people()).schema
    frame = people(10).assign(**change)
    if sentence is None:
        assert schema.data(frame).mask is not None
        return
    with pytest.raises(DiaboloError, match=sentence):
        schema.data(frame)


def test_new_tables_need_all_columns() -> None:
    schema = load(people()).schema
    with pytest.raises(DiaboloError, match=r"lacks the column 'city' of the data .* 'citty' what"):
        schema.data(people().rename(columns={"city": "citty"}))
    with pytest.raises(DiaboloError, match=r"lacks the columns 'age', 'day' .* Add them, or fit"):
        schema.data(people().drop(columns=["age", "day"]))
    with pytest.raises(DiaboloError, match=r"column 'city' holds no numbers: give a data frame"):
        schema.data(np.zeros((3, len(KINDS))))


def test_new_levels_may_be_taken_as_missing() -> None:
    schema = load(people(), DataConfig(unseen="missing")).schema
    data = schema.data(people(3).assign(city=["Nice", "Rome", "Oslo"]))
    assert data.mask is not None
    assert (~data.mask).nonzero().tolist() == [[0, 3]]


# Labels.


def test_a_copy_of_the_label_is_told() -> None:
    frame = people().assign(where=lambda f: f["city"].str.upper())
    assert "Column 'where' tells the label 'city'" in told(frame, labels="city")
    assert "tells the label" not in told(people(), labels="city")


def test_labels_of_one_class_are_told_or_refused() -> None:
    frame = people().assign(kind="a")
    assert "All labels ('kind') are the same" in told(frame, labels="kind")
    with pytest.raises(DiaboloError, match="'kind' has the one value 'a'"):
        load(frame, DataConfig(labels="kind", condition="labels"))
    with pytest.raises(DiaboloError, match=r"Unknown column: 'kid'\. Did you mean 'kind'"):
        load(frame, DataConfig(labels="kid"))


def test_a_class_of_a_table_is_sampled() -> None:
    run = diabolo.fit(
        holes(people()).assign(city=people()["city"]), labels="city", condition="labels", **SMALL
    )
    x = run.sample(4, label="Rome")
    assert list(x.columns) == [n for n in KINDS if n != "city"]
    assert "city" not in run.schema.columns


def test_labels_beside_another_condition_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people().to_csv(tmp_path / "x.csv", index=False)
    where = tmp_path / "run"
    diabolo.fit(tmp_path / "x.csv", "cvae", condition="city", out=where, **SMALL)
    for verb in ("encode", "score", "reconstruct", "anomalies"):
        asked = [verb, str(where), str(tmp_path / "x.csv"), "--out", str(tmp_path / "out.csv")]
        assert main([*asked, "--labels", "member"]) == 2
        assert "condition is 'city', on which labels have no effect" in capsys.readouterr().err


def test_no_column_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = people()[["city", "member"]].assign(weight=holes(people())["weight"])
    frame["draw"], frame["drawn"] = frame["member"], frame["member"]
    frame.to_csv(tmp_path / "x.csv", index=False)
    run, out = tmp_path / "run", tmp_path / "out.csv"
    diabolo.fit(tmp_path / "x.csv", out=run, **SMALL)
    asked = ["impute", str(run), str(tmp_path / "x.csv"), "--out", str(out)]
    assert main([*asked, "--draws", "2", "--method", "importance(k=5)"]) == 2
    assert "two columns 'draw'," in capsys.readouterr().err
    for label in ("drawn", "city"):
        assert main(["balance", str(tmp_path / "x.csv"), "--labels", label, "--out", str(out)]) == 2
        assert "two columns 'drawn'," in capsys.readouterr().err
    assert not out.exists()


# Columns of several types.


def test_a_column_of_several_types_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiaboloError, match="Column 'x' has values of several types, such as 1 and"):
        load(people().assign(x=[1, "a"] * (N // 2)))
    with pytest.raises(DiaboloError, match="Column 'x' has values of several types, such as 1 and"):
        load(people().assign(x=[pd.NA, 1, "a"] * (N // 3)))
    with pytest.raises(DiaboloError, match="'x' has values of type complex, such as 1j"):
        load(people().assign(x=[1j] * N))
    rows = [f"{'abc' if i == 7 else i * 1.5},{'uv'[i % 2]}" for i in range(50)]
    (tmp_path / "x.csv").write_text("\n".join(["x,y", *rows]))
    with pytest.raises(DiaboloError, match="Column 'x' holds numbers and text: row 7 has 'abc'"):
        load(tmp_path / "x.csv")
    assert load(tmp_path / "x.csv", DataConfig(kinds={"x": "skip"})).schema.columns == ("y",)
    # A value far down is not of the type of the first megabyte.
    rows = [f"{'abc' if i == 299_999 else i % 50}" for i in range(300_000)]
    (tmp_path / "y.csv").write_text("\n".join(["x,y", *(f"{r},0.5" for r in rows)]))
    with pytest.raises(DiaboloError, match="Column 'x' holds numbers and text: row 299999"):
        load(tmp_path / "y.csv")


# Densities.


def test_densities_are_said_by_kind_and_a_name_goes_before_it() -> None:
    def made(likelihood: dict[str, str], *columns: str) -> list[str]:
        kinds = ("real", "count", "real")
        spec = Spec(event=(3,), support="mixed", kinds=kinds, names=columns)
        model = build("vae", spec, likelihood=likelihood, latent=2, net="mlp(hidden=(8,))").model
        return [type(f).__name__.removesuffix("Family") for f in model.likelihood.family.members]

    call = {"real": "Laplace", "b": "StudentT"}
    assert made(call, "a", "n", "b") == ["Laplace", "NegativeBinomial", "StudentT"]
    assert made({"real": "Laplace"}) == ["Laplace", "NegativeBinomial", "Laplace"]
    # A column of that name is what is meant, and no kind.
    assert made({"real": "Laplace"}, "a", "n", "real") == [
        "StudentT",
        "NegativeBinomial",
        "Laplace",
    ]


def test_densities_are_said_by_name() -> None:
    call = {"weight": "Laplace", "visits": "Poisson", "grade": "Ordinal"}
    run = diabolo.fit(people(), likelihood=call, **SMALL)
    members = dict(zip(KINDS, run.model.likelihood.family.members, strict=True))
    names = {n: type(getattr(f, "base", f)).__name__ for n, f in members.items()}
    assert names["weight"] == "LaplaceFamily"
    assert (names["visits"], names["grade"]) == ("PoissonFamily", "OrdinalFamily")
    assert (names["age"], names["day"]) == ("NegativeBinomialFamily", "StudentTFamily")
    assert run.config.options["likelihood"] == call
    with pytest.raises(DiaboloError, match="Unknown column in likelihood: 'wait'"):
        diabolo.fit(people(), likelihood={"wait": "Laplace"}, **SMALL)
    with pytest.raises(DiaboloError, match="Column 'age' has the density Normal"):
        diabolo.fit(people(), likelihood={"age": "Normal"}, **SMALL)
    with pytest.raises(DiaboloError, match="Likelihoods by name are for tables"):
        diabolo.fit(np.zeros((9, 2)) + np.arange(9)[:, None], likelihood={"a": "Normal"}, **SMALL)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"kinds": {"a": "real"}}, "data.kinds by name is for tables"),
        ({"rare": 3}, "data.rare is for tables"),
        ({"unseen": "missing"}, "data.unseen is for tables"),
    ],
)
def test_options_of_tables_are_refused_for_arrays(option: Any, sentence: str) -> None:
    with pytest.raises(DiaboloError, match=sentence):
        load(np.random.default_rng(0).normal(size=(9, 2)), DataConfig(**option))


def test_numbers_in_files_have_kinds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIABOLO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("diabolo.data.mapped.BLOCK", 4000)
    frame = people()[["age", "weight", "income", "grade", "member", "visits"]]
    frame.to_parquet(tmp_path / "x.parquet")
    whole, mapped = (
        load(tmp_path / "x.parquet", DataConfig(memory=m)) for m in ("whole", "mapped")
    )
    assert mapped.schema == whole.schema
    rows = torch.arange(50)
    assert mapped.splits.train.batch(rows).x.equal(whole.splits.train.batch(rows).x)
    assert set(mapped.schema.table.kinds) == set(whole.schema.kinds)  # type: ignore[union-attr]


def test_text_is_read_whole(tmp_path: Path) -> None:
    people().to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DiaboloError, match=r"Column 'city' is not numeric.*data.memory=whole"):
        load(tmp_path / "x.parquet", DataConfig(memory="mapped"))
    with pytest.raises(DiaboloError, match=r"No column is left to learn from: 'id' \(identifier"):
        load(pd.DataFrame({"id": [f"a{i}" for i in range(50)]}))


def test_wide_tables_are_fitted() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(200, 1000)), columns=[f"c{i}" for i in range(1000)])
    run = diabolo.fit(wide, **SMALL)
    assert run.sample(3).shape == (3, 1000)
    wide["kind"] = rng.choice(["a", "b"], 200)
    found = load(wide)
    assert found.schema.kinds == (*["real"] * 1000, "category:2")
    few = diabolo.fit(wide.iloc[:, 900:], **SMALL)
    assert few.sample(3).shape == (3, 101)


def test_no_warning_is_given_where_nothing_is_passed_over(run: diabolo.Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.encode(people(5))


@pytest.mark.parametrize("bad", ["2020-13-45", "soon"])
def test_a_date_that_is_none_is_told_in_training(bad: str) -> None:
    days = [f"2020-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(60)]
    table = pd.DataFrame({"since": [*days[:7], bad, *days[8:]], "a": np.arange(60) / 7})
    with pytest.raises(DiaboloError, match=f"'since' holds dates and text: row 7 has '{bad}'"):
        diabolo.fit(table, latent=2, epochs=1)
    diabolo.fit(table, kinds={"since": "skip"}, latent=2, net="mlp(hidden=(8,))", epochs=1)
