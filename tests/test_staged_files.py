"""What is decoded once: tables of Parquet and Arrow, folders of images, and the cache itself."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import diabolo
from diabolo.config import DataConfig
from diabolo.data import Data, load, read
from diabolo.data.cache import Writer, decoded
from diabolo.data.mapped import Mapped
from diabolo.errors import DiaboloError
from diabolo.run.folder import fingerprint

N = 103
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)
FRAME = pd.DataFrame(
    {
        "a": np.round(RNG.normal(3.0, 2.0, N), 1),
        "b": RNG.integers(-5, 9, N),
        "c": RNG.normal(size=N).astype(np.float32),
        "fixed": np.full(N, 7),
        "yes": RNG.random(N) < 0.5,
        "kind": RNG.choice(["ant", "bee"], N),
    }
)
MAPPED = DataConfig(memory="mapped")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """Several blocks and stages even of small data, and a cache of each test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DIABOLO_CACHE", str(folder))
    monkeypatch.setattr("diabolo.data.mapped.BLOCK", 400)
    monkeypatch.setattr("diabolo.data.data.STAGE", 1000)
    monkeypatch.setattr("diabolo.data.readers.columns.PIECE", 40)
    return folder / "decoded"


def parquet(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.parquet.write_table(table, path.with_suffix(".parquet"), row_group_size=13)


def feather(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.feather.write_feather(table, path.with_suffix(".feather"), chunksize=17)


def arrow(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_file(path.with_suffix(".arrow"), table.schema) as file:
        file.write_table(table, 30)


WRITERS = {"parquet": parquet, "feather": feather, "arrow": arrow}


def table(kind: str, split: bool, frame: pd.DataFrame, folder: Path) -> str:
    """Writes a frame as one file or as a folder of them."""
    folder.mkdir(exist_ok=True)
    for i, part in enumerate(np.split(np.arange(len(frame)), [20, 21]) if split else [slice(None)]):
        WRITERS[kind](frame.iloc[part], folder / f"part-{i:04d}")
    return str(folder if split else next(folder.iterdir()))


def same(a: Data, b: Data) -> None:
    assert isinstance(b.x, Mapped)
    assert fingerprint(a) == fingerprint(b)
    for s, t in ((a.labels, b.labels), (a.index, b.index), (a.c, b.c)):
        assert s is t is None or s.equal(t)
    assert a.names == b.names
    found = []
    for data in (a, b):
        torch.manual_seed(7)
        found.append([x.x for x in data.batches(9, torch.Generator().manual_seed(1))])
    assert torch.stack(found[0]).equal(torch.stack(found[1]))


def equal(a, b) -> None:
    assert a.schema == b.schema
    for s, t in zip(a.splits, b.splits, strict=True):
        if s is not None:
            same(s, t)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    "options", [{}, {"condition": "b"}, {"condition": ("kind", "c")}], ids=["", "b", "kind and c"]
)
def test_a_table_in_files_is_the_table_in_memory(kind, split, options, tmp_path):
    source = table(kind, split, FRAME, tmp_path / "t")
    options = {"labels": "kind", **options}
    whole = load(source, DataConfig(**options))
    mapped = load(source, DataConfig(memory="mapped", **options))
    equal(whole, mapped)
    new = read(source, mapped.schema, config=DataConfig(memory="mapped", labels="kind"))
    assert new.batch(torch.arange(N)).x.equal(read(source, whole.schema).batch(torch.arange(N)).x)


def test_a_column_whose_gaps_come_late_is_read_alike(tmp_path):
    """Integers with a missing value are floats, also where the first pieces have none."""
    frame = FRAME[["a", "b"]].astype({"b": "Int64"})
    frame.loc[97, "b"] = pd.NA
    source = table("parquet", True, frame, tmp_path / "t")
    equal(
        load(source, DataConfig(missing="nan")),
        load(source, DataConfig(missing="nan", memory="mapped")),
    )


def test_a_column_that_counts_is_left_out(tmp_path):
    frame = FRAME[["a", "b"]].copy()
    frame.insert(0, "__index_level_0__", np.arange(N))
    for table_ in (frame, frame.iloc[::-1]):
        source = table("parquet", True, table_, tmp_path / "t")
        whole, mapped = load(source), load(source, MAPPED)
        equal(whole, mapped)
        assert any("counts the rows" in n for n in mapped.notes) == (table_ is frame)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_table_that_cannot_be_read_is_refused(kind, tmp_path):
    source = Path(table(kind, True, FRAME, tmp_path / "t"))
    with pytest.raises(DiaboloError, match=r"Column 'kind' is not numeric.*"):
        load(source, MAPPED)
    with pytest.raises(DiaboloError, match=r"column.*'knd'.*Did you mean 'kind'"):
        load(source, DataConfig(memory="mapped", labels="knd"))
    bad = sorted(source.iterdir())[1]
    WRITERS[kind](FRAME.rename(columns={"a": "q"}), bad.with_suffix(""))
    for memory in ("whole", "mapped"):
        with pytest.raises(DiaboloError, match=r"files with the same columns.*part-0001.*differ: "):
            load(source, DataConfig(memory=memory, labels="kind"))
    bad.write_bytes(bad.read_bytes()[:-20])
    for memory in ("whole", "mapped"):
        with pytest.raises(DiaboloError, match="Cannot read the table"):
            load(source, DataConfig(memory=memory, labels="kind"))


def test_text_cannot_stay_in_its_file(tmp_path):
    FRAME[["a", "b"]].to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DiaboloError, match=r"x.csv' cannot stay in its file.*Parquet"):
        load(tmp_path / "x.csv", MAPPED)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images of two classes, and of two splits."""
    for i, x in enumerate(GREY[:60]):
        path = (
            tmp_path / "p" / ("test" if i % 5 == 0 else "train") / f"kind{i % 2}" / f"{i:03d}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(path)
    return tmp_path / "p"


def test_images_in_a_cache_are_the_images_in_memory(folder):
    whole, mapped = load(folder), load(folder, MAPPED)
    equal(whole, mapped)
    assert mapped.splits.train.classes == ("kind0", "kind1")
    assert mapped.splits.test is not None


def decodings(monkeypatch) -> list[Path]:
    """Which images are decoded from now on."""
    from diabolo.data.readers import images

    asked: list[Path] = []
    plain = images.read_pixels

    def watched(path, **how):
        asked.append(path)
        return plain(path, **how)

    monkeypatch.setattr("diabolo.data.readers.images.read_pixels", watched)
    return asked


def test_many_images_are_decoded_once(folder, cache, monkeypatch):
    asked = decodings(monkeypatch)
    load(folder)
    assert len(asked) == 60
    assert not cache.exists()
    monkeypatch.setattr("diabolo.data.readers.images.WORTH_FILES", 50)
    first = load(folder)
    assert "Decoded 60 images to a cache of 0.1 MB." in first.notes
    assert len(asked) == 120
    second = load(folder)
    assert "60 images come decoded from a cache of 0.1 MB." in second.notes
    assert len(asked) == 120
    assert second.splits.train.x.equal(first.splits.train.x)
    assert len(list(cache.glob("*-*"))) == 1


def test_a_changed_file_or_another_size_is_decoded_anew(folder, cache, monkeypatch):
    asked = decodings(monkeypatch)
    load(folder, MAPPED)
    one = folder / "train" / "kind1" / "001.png"
    Image.fromarray(GREY[61]).save(one)
    os.utime(one, ns=(1, 1))
    assert any("Decoded" in n for n in load(folder, MAPPED).notes)
    assert len(asked) == 120
    assert len(list(cache.glob("*-*"))) == 1  # the former is gone
    (folder / "train" / "kind1" / "003.png").unlink()
    load(folder, MAPPED)
    assert len(asked) == 179
    load(folder, DataConfig(memory="mapped", size=4))
    assert len(asked) == 238
    assert len(list(cache.glob("*-*"))) == 2
    load(folder, MAPPED)
    assert len(asked) == 238


@pytest.mark.parametrize("damage", ["cut", "flip", "facts", "lost"])
def test_a_damaged_cache_is_made_anew(folder, cache, damage):
    first = load(folder, MAPPED)
    (place,) = cache.glob("*-*")
    path = place / ("facts.json" if damage == "facts" else "x.npy")
    raw = bytearray(path.read_bytes())
    raw[-9] ^= 64
    if damage == "lost":
        path.unlink()
    else:
        path.unlink()  # what is mapped must not change under its reader
        path.write_bytes(raw[:-20] if damage != "flip" else raw)
    again = load(folder, MAPPED)
    assert any("Decoded" in n for n in again.notes)
    same(load(folder, DataConfig(memory="whole")).splits.train, again.splits.train)
    assert len(first.splits.train) == len(again.splits.train)


def test_a_cache_that_cannot_be_written(folder, cache, monkeypatch):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file is in its place")
    with pytest.raises(DiaboloError, match=r"Cannot keep what is decoded .* DIABOLO_CACHE"):
        load(folder, MAPPED)
    monkeypatch.setattr("diabolo.data.readers.images.WORTH_FILES", 50)
    assert any("decoded in memory, as they will be again" in n for n in load(folder).notes)


def test_a_full_disk_leaves_nothing_behind(folder, cache, monkeypatch):
    def full(self, block):
        if self.rows > 5:
            raise OSError(28, "No space left on device")
        return plain(self, block)

    plain = Writer.append
    monkeypatch.setattr(Writer, "append", full)
    with pytest.raises(DiaboloError, match=r"No space left on device. Make room"):
        load(folder, MAPPED)
    assert not [p for p in cache.iterdir() if p.suffix != ".lock"]
    monkeypatch.setattr(Writer, "append", plain)
    load(folder, MAPPED)


def test_an_image_that_cannot_be_read_is_told_from_the_cache_too(folder):
    (folder / "train" / "kind0" / "bad.png").write_text("no picture")
    for _ in range(2):
        notes = load(folder, MAPPED).notes
        assert any(n.startswith("1 of 61 images cannot be read and were skipped") for n in notes)
    with pytest.raises(DiaboloError, match="1 of 61 images cannot be read, the first is"):
        load(folder, DataConfig(memory="mapped", strict=True))


def test_rows_of_any_number_fit_the_header(tmp_path, cache):
    """The header is written before the number of rows is known."""
    x = RNG.normal(size=(12345, 3))

    def write(out: Writer) -> dict[str, int]:
        out.append(np.zeros((5, 7), np.uint8))
        out.clear()
        for part in np.array_split(x, 7):
            out.append(part)
        return {"told": 5}

    first = decoded(tmp_path, {}, "state", write)
    again = decoded(tmp_path, {}, "state", write)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.facts == {"told": 5}
    assert np.array_equal(again.x.gather(np.arange(len(x))), x)
    assert np.array_equal(np.load(next(cache.glob("*-*")) / "x.npy"), x)


SOURCES = {
    "file": lambda folder: np.save(folder / "x.npy", GREY.reshape(N, -1)) or folder / "x.npy",
    "shards": lambda folder: (
        [np.save(folder / f"{i}.npy", p) for i, p in enumerate(np.array_split(GREY, 4))] and folder
    ),
    "table": lambda folder: table("parquet", True, FRAME.drop(columns="kind"), folder / "t"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_training_on_files_is_training_in_memory(name, tmp_path):
    """Bit for bit: the weights, and every number of the history."""
    source = SOURCES[name](tmp_path)
    options = {} if name == "table" else {"binarize": "dynamic"}
    found = [
        diabolo.fit(
            source,
            "vae",
            latent=2,
            epochs=2,
            batch_size=16,
            memory=memory,
            compile="off",
            **options,
        )
        for memory in ("whole", "mapped")
    ]
    assert isinstance(found[1].splits.train.x, Mapped)
    a, b = (dict(run.model.state_dict()) for run in found)
    assert all(a[k].equal(b[k]) for k in a)
    for one, other in zip(*(run.history.rows for run in found), strict=True):
        assert one.objective == other.objective
        assert one.valid_elbo == other.valid_elbo
    assert [p["sha256"] for p in found[0].prints.values()] == [
        p["sha256"] for p in found[1].prints.values()
    ]


def test_a_run_is_evaluated_on_files(tmp_path):
    source = SOURCES["file"](tmp_path)
    run = diabolo.fit(source, "vae", latent=2, epochs=1, memory="mapped", out=tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    x = np.load(source, mmap_mode="r")
    assert np.array_equal(run.score(x), again.score(np.asarray(x)))


def traced(source: Path, memory: str) -> int:
    """The greatest number of bytes that NumPy held while data were opened and seen once."""
    tracemalloc.start()
    try:
        found = load(source, DataConfig(memory=memory))
        fingerprint(found.splits.train)
        for _ in found.splits.train.batches(100, torch.Generator().manual_seed(0)):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_stays_bounded(tmp_path, monkeypatch):
    """16 MB of data in files take less than a third of that, however they are looked at."""
    monkeypatch.setattr("diabolo.data.mapped.BLOCK", 1 << 18)
    monkeypatch.setattr("diabolo.data.data.STAGE", 1 << 20)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype="f4", shape=(20000, 200))
    x[:] = RNG.normal(size=(20000, 1)) + np.arange(200)
    x.flush()
    assert traced(tmp_path / "x.npy", "whole") > x.nbytes  # imports are counted here too
    assert traced(tmp_path / "x.npy", "mapped") < x.nbytes / 3
