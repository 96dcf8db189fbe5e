"""Data in files: what is seen of them, and in what order, is what is seen of them in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diabolo.config import DataConfig
from diabolo.data import Data, load
from diabolo.data.decode import Decoder
from diabolo.data.mapped import Mapped, ahead, mapping
from diabolo.errors import DiaboloError
from diabolo.noise import Noise
from diabolo.ranks import Share
from diabolo.run.folder import fingerprint

N = 103
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)
REALS = np.round(RNG.normal(3.0, 2.0, (N, 4)), 1)
HOLES = np.where(RNG.random((N, 4)) < 0.2, np.nan, REALS)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch, tmp_path_factory):
    """Several blocks and stages even of small data, and a cache of each test's own."""
    monkeypatch.setenv("DIABOLO_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr("diabolo.data.readers.columns.PIECE", 40)
    monkeypatch.setattr("diabolo.data.mapped.BLOCK", 400)
    monkeypatch.setattr("diabolo.data.data.STAGE", 1000)


def one_file(x: np.ndarray, folder: Path) -> str:
    np.save(folder / "x.npy", x)
    return str(folder / "x.npy")


def shards(x: np.ndarray, folder: Path) -> str:
    for i, part in enumerate(np.split(x, [1, 40, 41])):
        np.save(folder / f"part-{i:04d}.npy", part)
    return str(folder)


def memory_map(x: np.ndarray, folder: Path) -> np.ndarray:
    return np.load(one_file(x, folder), mmap_mode="r")


def in_columns(x: np.ndarray, folder: Path) -> str:
    return one_file(np.asfortranarray(x), folder)


STORES: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "file": one_file,
    "shards": shards,
    "memmap": memory_map,
    "columns": in_columns,
}
ARRAYS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "grey": (GREY, {}),
    "dynamic bits": (GREY, {"binarize": "dynamic"}),
    "static bits": (GREY, {"binarize": "static"}),
    "dequantized": (GREY, {"dequantize": True}),
    "colour": (RNG.integers(0, 256, (N, 6, 5, 3)).astype(np.uint8), {}),
    "reals": (REALS, {}),
    "floats": (REALS.astype(np.float32), {"standardize": False}),
    "holes": (HOLES, {"missing": "nan"}),
    "a constant column": (np.concatenate([REALS, np.full((N, 1), 7.0)], 1), {}),
    "counts": (np.r_[np.zeros((N - 1, 3), int), [[1, 2, 900]]], {}),
    "bits": (RNG.random((N, 6)) < 0.5, {}),
    "big endian": (REALS.astype(">f4"), {}),
    "levels": (RNG.integers(0, 17, (N, 6)) / 16, {}),
    "one number a row": (REALS[:, 0], {}),
}


def both(source: Any, options: dict[str, Any]):
    """The same source in memory and in files."""
    whole = load(source, DataConfig(memory="whole", **options))
    mapped = load(source, DataConfig(memory="mapped", **options))
    assert isinstance(whole.splits.train.x, Tensor)
    assert isinstance(mapped.splits.train.x, Mapped)
    return whole, mapped


def alike(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.equal(b)


def same_batches(a: Data, b: Data, **how: Any) -> None:
    """The same rows, values, masks and conditions, in the same order, with the same noise."""
    for seed in (None, 5):
        found = []
        for data in (a, b):
            order = None if seed is None else torch.Generator().manual_seed(seed)
            torch.manual_seed(7)
            found.append(list(data.batches(9, order, **how)))
        assert len(found[0]) == len(found[1]) > 0
        for one, other in zip(*found, strict=True):
            assert all(alike(s, t) for s, t in zip(one, other, strict=True))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", ARRAYS)
def test_data_in_files_are_the_data_in_memory(name, store, tmp_path):
    x, options = ARRAYS[name]
    whole, mapped = both(STORES[store](x, tmp_path), options)
    assert mapped.schema == whole.schema
    assert whole.notes == tuple(n for n in mapped.notes if "stay in files" not in n)
    for a, b in ((s, t) for s, t in zip(whole.splits, mapped.splits, strict=True) if s):
        assert a.event == b.event
        assert fingerprint(a) == fingerprint(b)
        assert a.digest() == b.digest()
        assert all(s.equal(t) for s, t in zip(a.moments(), b.moments(), strict=True))
        assert alike(a.resolution(), b.resolution())
        assert a.rows.equal(b.rows)
        same_batches(a, b)
        some = torch.tensor([5, 2, 9, 2])
        same_batches(a.take(some), b.take(some))
    a, b = whole.splits.train, mapped.splits.train
    same_batches(a, b, start=3)
    same_batches(a, b, share=Share(1, 3))
    same_batches(a, b.to("cpu"))


@dataclass(frozen=True)
class Counting(Decoder):
    """Counts the data that are decoded."""

    seen: list[int]

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        self.seen.append(len(stored))
        return stored.float()


def rows_of(kind: str) -> Data:
    """Each value tells its row."""
    x = np.arange(N)[:, None] * np.array([1, -1])
    return Data(torch.from_numpy(x) if kind == "memory" else Mapped((x[:50], x[50:])))


@pytest.mark.parametrize("kind", ["memory", "files"])
@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("start", [0, 1, 7, 10, 11, 30])
def test_start_skips_batches_without_decoding_them(start, shuffled, kind):
    def seed():
        return torch.Generator().manual_seed(3) if shuffled else None

    data = rows_of(kind)
    whole = list(data.batches(10, seed()))
    counted = replace(data, decoder=Counting([]))
    late = list(counted.batches(10, seed(), start=start))
    assert len(counted.decoder.seen) == len(late) == max(0, len(whole) - start)
    for a, b in zip(islice(whole, start, None), late, strict=True):
        assert a.x.equal(b.x)
        assert a.index.equal(b.index)


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_an_epoch_is_one_permutation_of_all_rows(kind):
    """Each row once, and a row's place in the epoch does not depend on its place in the file."""
    data = rows_of(kind)
    place = torch.zeros(200, N)
    for seed in range(200):
        index = torch.cat([b.index for b in data.batches(1, torch.Generator().manual_seed(seed))])
        assert index.sort().values.equal(torch.arange(N))
        place[seed, index] = torch.arange(N, dtype=torch.float32)
    # The mean place of a row is (N - 1) / 2 with this standard error; 103 rows stay within 4.5.
    error = ((N**2 - 1) / 12 / 200) ** 0.5
    assert float((place.mean(0) - (N - 1) / 2).abs().max()) < 4.5 * error


def test_rows_are_read_a_chunk_at_a_time_and_in_the_order_of_the_file():
    data = rows_of("files")
    asked: list[np.ndarray] = []

    def watch(values, rows):
        asked.append(rows)
        return values

    data = replace(data, x=data.x.then(watch))
    next(data.batches(5, torch.Generator().manual_seed(0)))
    # 1000 bytes of 16 a row: 60 rows of whole batches a stage, of which at most two are read.
    counted = sum(map(len, asked))
    assert 60 <= counted <= 121
    assert all((np.diff(rows) >= 0).all() for rows in asked)


def test_no_thread_outlives_its_iterator():
    before = threading.active_count()
    batches = rows_of("files").batches(5)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before
    for _ in rows_of("files").batches(5):
        break
    list(rows_of("files").batches(5))
    assert threading.active_count() == before


def test_an_error_of_the_reading_thread_reaches_the_caller():
    def fail(item: int) -> int:
        if item == 2:
            raise OSError("gone")
        return item

    before = threading.active_count()
    found = ahead(fail, range(5))
    assert next(found) == 0
    assert next(found) == 1
    with pytest.raises(OSError, match="gone"):
        next(found)
    assert threading.active_count() == before


def test_small_data_are_taken_into_memory(monkeypatch):
    assert not mapping("auto", 10**6)
    assert mapping("auto", 2 * 10**9)
    assert mapping("mapped", 1)
    assert not mapping("whole", 10**12)
    monkeypatch.setattr("diabolo.data.mapped._available", lambda: 4000)
    assert mapping("auto", 1001)
    assert not mapping("auto", 999)


def test_data_left_in_files_are_told(tmp_path):
    source = one_file(GREY, tmp_path)
    assert not any("stay" in n for n in load(source).notes)
    (note,) = (n for n in load(source, DataConfig(memory="mapped")).notes if "stay" in n)
    assert note.startswith("0.1 MB of data stay in files")


@pytest.mark.parametrize("source", [GREY, torch.from_numpy(GREY), GREY.tolist()])
def test_data_in_memory_cannot_stay_in_files(source):
    with pytest.raises(DiaboloError, match=r"data\.memory=mapped has no effect on this source"):
        load(source, DataConfig(memory="mapped"))
    load(source, DataConfig(memory="whole"))


def truncated(folder: Path) -> None:
    path = folder / "part-0001.npy"
    path.write_bytes(path.read_bytes()[:-7])


def narrow(folder: Path) -> None:
    np.save(folder / "part-0001.npy", GREY[:, :, :3])


def other_type(folder: Path) -> None:
    np.save(folder / "part-0001.npy", GREY / 2)


def pickled(folder: Path) -> None:
    np.save(folder / "part-0001.npy", np.array([{}]), allow_pickle=True)


def words(folder: Path) -> None:
    (folder / "part-0001.npy").write_text("no array")


@pytest.mark.parametrize("memory", ["whole", "mapped"])
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (truncated, "Cannot read '.*part-0001.npy' as a NumPy file: it is damaged"),
        (narrow, r"Expected files alike, .*part-0000.npy' has rows of shape \(6, 5\).*\(6, 3\)"),
        (other_type, "Expected files alike, .*uint8, and .*part-0001.npy' .* float64"),
        (pickled, "part-0001.npy' holds a pickled object"),
        (words, "Cannot read '.*part-0001.npy' as a NumPy file"),
    ],
)
def test_a_spoiled_shard_is_refused(spoil, match, memory, tmp_path):
    shards(GREY, tmp_path)
    spoil(tmp_path)
    with pytest.raises(DiaboloError, match=match):
        load(str(tmp_path), DataConfig(memory=memory))


def test_a_bad_value_is_named_by_its_row(tmp_path):
    x = REALS.copy()
    x[71, 2] = np.nan
    x[90, 1] = np.nan
    source = shards(x, tmp_path)
    for memory in ("whole", "mapped"):
        with pytest.raises(DiaboloError, match=r"2 missing values .* first in row 71, column 2"):
            load(source, DataConfig(memory=memory))
    x[80, 0] = np.inf
    shards(x, tmp_path)
    with pytest.raises(DiaboloError, match="1 infinite values, the first in row 80, column 0"):
        load(source, DataConfig(memory="mapped", missing="nan"))
    shards(np.abs(REALS) + 1 - (np.arange(N) == 66)[:, None] * 100, tmp_path)
    with pytest.raises(DiaboloError, match=r"values above 0 .* in row 66, column 0"):
        load(source, DataConfig(memory="mapped", support="positive"))
