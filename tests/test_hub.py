"""Data sets of the package `datasets` are what the same values are as arrays, tables and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diabolo
from diabolo.config import DataConfig
from diabolo.data import load, read
from diabolo.data.mapped import Mapped
from diabolo.errors import DiaboloError

datasets = pytest.importorskip("datasets", reason="datasets is not installed")

N = 40
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)
TABLE = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.integers(-9, 9, N)})
NAMES = ["9", "ant", "3"]  # codes follow this order, and names may be digits
CODES = RNG.integers(0, 3, N)
KIND = datasets.ClassLabel(names=NAMES)
SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "epochs": 1, "batch_size": 16}


def pictures(rows: np.ndarray = GREY, names: str = "image") -> Any:
    kinds = datasets.Features({names: datasets.Image(), "kind": KIND})
    images = [Image.fromarray(x) for x in rows]
    return datasets.Dataset.from_dict({names: images, "kind": CODES[: len(rows)]}, features=kinds)


def table(**more: Any) -> Any:
    return datasets.Dataset.from_pandas(TABLE.assign(**more), preserve_index=False)


def same(found: Any, wanted: Any) -> None:
    """Whether two readings have the same schema and the same splits."""
    # Frames are written in the library that they came in.
    assert replace(found.schema, table=None) == replace(wanted.schema, table=None)
    for a, b in zip(found.splits, wanted.splits, strict=True):
        if a is not None:
            assert len(a) == len(b)
            assert np.array_equal(_values(a), _values(b))
            assert (a.labels is None) == (b.labels is None)
            assert a.labels is None or a.labels.equal(b.labels)
            assert (a.c is None) == (b.c is None)
            assert a.c is None or a.c.equal(b.c)


def _values(data: Any) -> np.ndarray:
    x = data.x
    return x.gather(np.arange(len(x))) if isinstance(x, Mapped) else x.numpy()


def test_columns_of_numbers_are_a_frame() -> None:
    same(load(table()), load(TABLE))
    kinds = np.array(["x", "y"])[CODES % 2]
    one, two = table(kind=kinds), TABLE.assign(kind=kinds)
    same(load(one, DataConfig(labels="kind")), load(two, DataConfig(labels="kind")))
    same(load(one, DataConfig(condition="kind")), load(two, DataConfig(condition="kind")))


@pytest.mark.parametrize("kind", ["fixed", "list", "nested"])
def test_a_column_of_arrays_is_the_array(kind: str) -> None:
    x = RNG.normal(size=(N, 4, 3)).astype(np.float32)
    if kind == "fixed":
        kinds = datasets.Features({"x": datasets.Array2D((4, 3), "float32")})
    else:
        inner = datasets.List(datasets.Value("float32"))
        kinds = datasets.Features({"x": inner if kind == "list" else datasets.List(inner)})
        x = x[:, 0] if kind == "list" else x
    found = datasets.Dataset.from_dict({"x": list(x)}, features=kinds)
    same(load(found), load(x))
    order = RNG.permutation(N)[:20]
    same(load(found.select(order)), load(x[order]))


def test_images_and_classes_are_those_of_the_arrays() -> None:
    found = load(pictures())
    plain = load(GREY)
    assert (found.schema.support, found.schema.layout) == ("byte", plain.schema.layout)
    for one, two in zip(found.splits[:2], plain.splits[:2], strict=True):
        assert one is not None
        assert two is not None
        assert np.array_equal(_values(one), _values(two))
    train = found.splits.train
    assert train.classes == tuple(NAMES)
    assert train.index is not None
    assert train.labels is not None
    assert [train.classes[i] for i in train.labels] == [
        NAMES[i] for i in CODES[train.index.numpy()]
    ]


def test_splits_are_kept() -> None:
    parts = {"train": pictures(), "validation": pictures(GREY[:7]), "test": pictures(GREY[7:12])}
    found = load(datasets.DatasetDict(parts))
    assert [len(s) for s in found.splits] == [N, 7, 5]
    assert np.array_equal(_values(found.splits.test)[:, 0], GREY[7:12])


def test_images_in_files_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIABOLO_CACHE", str(tmp_path / "cache"))
    pictures().save_to_disk(str(tmp_path / "set"))
    stored = datasets.load_from_disk(str(tmp_path / "set"))
    config = DataConfig(memory="mapped")
    found = load(stored, config)
    assert isinstance(found.splits.train.x, Mapped)
    same(found, load(pictures()))

    def refuse(*args: Any, **given: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("diabolo.data.hub.read_pixels", refuse)
    same(load(stored, config), found)
    with pytest.raises(AssertionError, match="decoded again"):
        load(stored.select(range(9)), config)  # other rows


def test_a_run_trains_on_them_and_reads_new_ones() -> None:
    run = diabolo.fit(pictures(), **SMALL)
    assert run.schema.classes
    codes = run.encode(pictures(GREY[:9]))
    assert np.array_equal(codes, run.encode(GREY[:9]))
    other = diabolo.fit(table(kind=CODES), condition=["kind"], **SMALL)
    again = diabolo.fit(TABLE.assign(kind=CODES), condition=["kind"], **SMALL)
    rows = [[r.valid_elbo for r in r.history.rows] for r in (other, again)]
    assert rows[0] == rows[1]
    data = read(table(kind=CODES), other.schema, config=other.config.data)
    assert data.c is not None


def ragged() -> Any:
    return datasets.Dataset.from_dict({"x": [[1.0, 2.0], [3.0]]})


def broken() -> Any:
    kinds = datasets.Features({"image": datasets.Image()})
    rows = [{"bytes": b"none", "path": None}] * 2
    return datasets.Dataset.from_dict({"image": rows}, features=kinds)


MISTAKES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "ragged": (ragged, {}, "rows of one shape in column 'x'"),
    "image": (broken, {}, "row 0, column 'image', cannot be read"),
    "text": (lambda: table(t=["x"] * N), {"support": "real"}, "Column 't' is not numeric"),
    "label": (table, {"labels": "kidn"}, "Unknown column: 'kidn'"),
    "several": (
        lambda: datasets.Dataset.from_dict({"x": [[1.0], [2.0]], "y": [1.0, 2.0]}),
        {},
        "of which 'x' is List",
    ),
    "stream": (lambda: table().to_iterable_dataset(), {}, "without streaming=True"),
    "splits": (lambda: datasets.DatasetDict({"a": table()}), {}, "Expected the splits train"),
    "no train": (lambda: datasets.DatasetDict({"test": table()}), {}, "Expected a split 'train'"),
    "words": (lambda: datasets.Dataset.from_dict({"x": [["a"], ["b"]]}), {}, "no numbers"),
    "empty": (lambda: table().select([]), {}, "at least one row"),
    "option": (table, {"key": "x"}, "no effect on this source"),
}


@pytest.mark.parametrize(("make", "given", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_sentence(make: Any, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DiaboloError, match=sentence) as caught:
        diabolo.fit(make(), **{**SMALL, **{f"data.{n}": v for n, v in given.items()}})
    assert "\n" not in str(caught.value)
