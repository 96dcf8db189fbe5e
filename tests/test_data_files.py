"""Files and folders: each reader, and each way in which what is read can be wrong."""

from __future__ import annotations

import gzip
import pickle
import re
import struct
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import scipy.io
import torch
from PIL import Image

from diabolo.config import DataConfig
from diabolo.data import load, read
from diabolo.data.readers import READERS, endings
from diabolo.errors import DiaboloError
from laws import data as laws

RNG = np.random.default_rng(0)
N = 12
GREY = RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)
X = RNG.normal(size=(N, 3))
Y = np.arange(N) % 3


def idx_bytes(array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def picture(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def same(found, x):
    laws.restoring_inverts_reading(np.asarray(x), found)


def test_every_reader_has_its_endings():
    assert set(endings().values()) == set(READERS.names())


# NumPy.


@pytest.mark.parametrize("key", ["X", "x", "data", "images", "anything"])
def test_npz_finds_its_data(tmp_path, key):
    np.savez(tmp_path / "a.npz", **{key: X, "y": Y})
    found = load(tmp_path / "a.npz")
    same(found, X)
    assert found.schema.classes == ("0", "1", "2")


def test_npz_key_and_labels_can_be_said(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", X=X, other=GREY, kind=Y, dose=X[:, 0])
    config = DataConfig(key="other", labels="kind", condition=("kind", "dose"))
    found = load(str(tmp_path / "a.npz"), config)
    same(found, GREY)
    assert found.schema.width == 4
    again = read(tmp_path / "a.npz", found.schema, config=config)
    assert torch.equal(again.c[found.splits.train.rows], found.splits.train.c)


def test_labels_of_new_files_are_named(tmp_path):
    """By the caller; else as in training, where the condition needs them, and only there."""
    np.savez(tmp_path / "a.npz", X=X, kind=Y)
    np.savez(tmp_path / "b.npz", X=X, sort=Y)
    pd.DataFrame(X, columns=list("abc")).assign(sort=Y).to_csv(tmp_path / "b.csv", index=False)
    plain = DataConfig(labels="kind")
    by_class = DataConfig(labels="kind", condition="labels")
    schema = load(tmp_path / "a.npz", by_class).schema
    own = read(tmp_path / "a.npz", schema, config=by_class)
    assert own.labels.tolist() == Y.tolist()
    for name in ("b.npz", "b.csv"):
        named = read(tmp_path / name, _like(tmp_path, name, schema), config=by_class, labels="sort")
        assert named.labels.tolist() == Y.tolist()
        assert torch.equal(named.c, own.c)
        with pytest.raises(DiaboloError, match="srot"):
            read(tmp_path / name, _like(tmp_path, name, schema), labels="srot")
    with pytest.raises(DiaboloError, match=r"Unknown key of .*'kind'"):
        read(tmp_path / "b.npz", schema, config=by_class)
    unconditional = load(tmp_path / "a.npz", plain).schema
    assert read(tmp_path / "b.npz", unconditional, config=plain).labels is None


def _like(folder, name, schema):
    """The schema, with the names of a table's columns where the file is one."""
    return replace(schema, columns=("a", "b", "c")) if name.endswith(".csv") else schema


def test_new_pictures_of_other_classes_need_no_label(folder, tmp_path):
    schema = load(folder).schema
    picture(tmp_path / "new" / "other" / "a.png", GREY[0])
    assert read(tmp_path / "new", schema).labels is None
    with pytest.raises(DiaboloError, match="no effect"):
        read(tmp_path / "new", schema, labels="kind")
    by_class = load(folder, DataConfig(condition="labels")).schema
    with pytest.raises(DiaboloError, match="'other'"):
        read(tmp_path / "new", by_class)


@pytest.mark.parametrize("form", ["x_train", "train_x", "train_images"])
def test_npz_splits_are_kept(tmp_path, form):
    label = form.replace("x", "y").replace("images", "labels")
    arrays = {form: GREY, label: Y}
    arrays |= {k.replace("train", "test"): v[:4] for k, v in arrays.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    splits = load(tmp_path / "a.npz").splits
    assert len(splits.test) == 4
    assert splits.test.labels.tolist() == Y[:4].tolist()


@pytest.mark.parametrize(
    ("arrays", "config", "match"),
    [
        ({"a": X, "b": X}, {}, "its keys are a, b: choose one with --key"),
        ({"a": X}, {"key": "X"}, "Unknown key"),
        ({"x": X}, {"labels": "why"}, "Unknown key"),
        ({"x": X}, {"condition": "why"}, "Unknown key"),
        ({"x": X, "y": Y[:5]}, {}, f"Expected {N} values of 'y', one a row, but got 5"),
        ({"x": np.array(3.0)}, {}, "single value"),
        ({"x": np.array(["a", "b"])}, {}, "Expected numbers"),
        ({"x": np.array([{}, {}], dtype=object)}, {}, "pickled object"),
    ],
)
def test_wrong_npz_is_refused(tmp_path, arrays, config, match):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DiaboloError, match=match):
        load(tmp_path / "a.npz", DataConfig(**config))


def test_npy_is_read_and_a_pickled_one_refused(tmp_path):
    np.save(tmp_path / "a.npy", X)
    same(load(tmp_path / "a.npy"), X)
    np.save(tmp_path / "b.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DiaboloError, match="pickled object"):
        load(tmp_path / "b.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a.parquet", "a.idx", "a.npy.gz"])
@pytest.mark.parametrize("content", [b"", b"not what it is called\n" * 9, b"\x1f\x8bbroken"])
def test_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DiaboloError) as caught:
        load(tmp_path / name)
    # The folder is called as the test is.
    told = str(caught.value).replace(str(tmp_path), "")
    assert re.search(r"damaged|no IDX|empty|Cannot read", told)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_file_that_is_no_numpy_file_is_told_apart_from_a_pickled_one(tmp_path, name):
    (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(DiaboloError, match="it is no NumPy file"):
        load(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(X))
    with pytest.raises(DiaboloError, match="holds a pickled object"):
        load(tmp_path / name)


# IDX.


@pytest.mark.parametrize("packed", [False, True])
def test_idx_finds_the_labels_beside(tmp_path, packed):
    for name, array in (("train-images-idx3-ubyte", GREY), ("train-labels-idx1-ubyte", Y)):
        raw = idx_bytes(array)
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(raw) if packed else raw)
    found = load(tmp_path / ("train-images-idx3-ubyte" + ".gz" * packed))
    same(found, GREY)
    assert found.splits.train.labels.tolist() == Y[found.splits.train.rows].tolist()
    whole = load(tmp_path)
    assert torch.equal(whole.splits.train.x, found.splits.train.x)


def test_idx_folder_has_its_test_part(tmp_path):
    for part, n in (("train", N), ("t10k", 5)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(GREY[:n]))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(Y[:n]))
    assert len(load(tmp_path).splits.test) == 5


@pytest.mark.parametrize("cut", [3, 10, -1])
def test_truncated_idx_is_refused(tmp_path, cut):
    (tmp_path / "a.idx").write_bytes(idx_bytes(GREY)[:cut])
    with pytest.raises(DiaboloError, match=r"damaged|no IDX"):
        load(tmp_path / "a.idx")


# MATLAB.


def test_mat_is_read_by_key(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"X": X, "Y": Y[:, None], "note": "text"})
    found = load(tmp_path / "a.mat")
    same(found, X)
    assert found.schema.classes == ("0", "1", "2")


def test_mat_of_version_7_3_is_refused(tmp_path):
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "a.mat").write_bytes(head + bytes(400))
    with pytest.raises(DiaboloError, match=r"MATLAB 7\.3"):
        load(tmp_path / "a.mat")


# Tables.


TABLES = {
    "comma": ("a,b,c\n", ","),
    "semicolon": ('"a";"b";"c"\n', ";"),
    "tab": ("a\tb\tc\n", "\t"),
    "blank": ("a b c\n", " "),
    "no header": ("", ","),
    "counted header": ("0,1,2\n", ","),
}


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv_of_any_form_is_read(tmp_path, form, ending):
    head, separator = TABLES[form]
    lines = head + "".join(separator.join(f"{v:.17g}" for v in row) + "\n" for row in X)
    (tmp_path / "a.csv").write_bytes(lines.replace("\n", ending).encode())
    found = load(tmp_path / "a.csv")
    same(found, X)
    names = {"no header": ("column 0", "column 1", "column 2"), "counted header": tuple("012")}
    assert found.schema.columns == names.get(form, tuple("abc"))


def test_csv_with_decimal_commas_is_read(tmp_path):
    rows = "".join(";".join(f"{v:.6f}".replace(".", ",") for v in row) + "\n" for row in X)
    (tmp_path / "a.csv").write_text("a;b;c\n" + rows)
    found = load(tmp_path / "a.csv")
    # Six decimals were written.
    back = found.schema.array(found.splits.train.x)
    assert np.abs(back - X[found.splits.train.rows]).max() < 1e-6
    assert any("decimal commas" in n for n in found.notes)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_table_has_labels_and_conditions_by_name(tmp_path, ending):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["kind"] = np.array(["x", "y", "z"])[Y]
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    config = DataConfig(labels="kind", condition=("kind", "c"))
    found = load(path, config)
    assert found.schema.columns == ("a", "b")
    assert found.schema.classes == ("x", "y", "z")
    assert found.schema.width == 4
    again = read(path, found.schema)
    rows = found.splits.train.rows
    assert torch.equal(again.x[rows], found.splits.train.x)
    assert torch.equal(again.c[rows], found.splits.train.c)
    assert torch.equal(again.labels[rows], found.splits.train.labels)


def test_table_with_row_numbers_leaves_them_out(tmp_path):
    pd.DataFrame(X, columns=list("abc")).to_csv(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv").schema.columns == tuple("abc")


@pytest.mark.parametrize(
    ("text", "config", "match"),
    [
        ("a,b\n1,x\n2,y\n", {"support": "real"}, r"Column 'b' is not numeric .*such as 'x'"),
        ("a,b\n1,2\n3,\n", {"missing": "refuse"}, "row 1, column 'b'"),
        ("a,b\n1,2\n3,inf\n", {}, "infinite values, the first in row 1, column 'b'"),
        ("a,b\n1,2\n3,4\n", {"labels": "c"}, "Unknown column: 'c'"),
        ("a,b\n1,2\n3,4\n", {"condition": "c"}, "Unknown column: 'c'"),
        ("a,b\n1,2\n3,4,5\n", {}, "Cannot read the table"),
        ("a,b\n1,2\n", {}, "at least two rows"),
        ("a,a,b\n1,2,3\n3,4,6\n", {}, "Column 'a' occurs twice"),
        ("a,b\n", {}, "has 0 rows"),
        ("\n\n", {}, "is empty"),
        ("a\nx\ny\n", {"labels": "a"}, "0 columns of data"),
    ],
)
def test_wrong_table_is_refused(tmp_path, text, config, match):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DiaboloError, match=match):
        load(tmp_path / "a.csv", DataConfig(**config))


def test_missing_cells_become_a_mask(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1.5,2\n3,\nNA,4\n5,7\n")
    found = load(tmp_path / "a.csv", DataConfig(missing="nan", valid=1))
    whole = read(tmp_path / "a.csv", found.schema)
    assert whole.mask.tolist() == [[True, True], [True, False], [False, True], [True, True]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_table_of_another_encoding_is_read(tmp_path, encoding):
    words = {"cp1252": ["süß €", "herb"], "latin-1": ["süß\x81", "herb"]}.get(
        encoding, ["süß", "herb"]
    )
    lines = [f"{v:.6f},{kind}" for v, kind in zip(X[:, 0], words * (N // 2), strict=True)]
    (tmp_path / "a.csv").write_bytes("\n".join(["Größe,Art", *lines]).encode(encoding))
    found = load(tmp_path / "a.csv", DataConfig(labels="Art"))
    assert found.schema.columns == ("Größe",)
    assert found.schema.classes == tuple(sorted(words))
    guess = {"cp1252": "read as Windows-1252", "latin-1": "read as Latin-1"}.get(
        encoding, "read as"
    )
    assert any(guess in n for n in found.notes) == (encoding in ("cp1252", "latin-1"))


def test_new_table_without_a_column_is_refused(tmp_path):
    pd.DataFrame(X, columns=list("abc")).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(X[:, :2], columns=list("ab")).to_csv(tmp_path / "b.csv", index=False)
    schema = load(tmp_path / "a.csv").schema
    with pytest.raises(DiaboloError, match="lacks the column 'c'"):
        read(tmp_path / "b.csv", schema)


# Images.


@pytest.fixture
def folder(tmp_path):
    """Twelve grey pictures of three classes."""
    root = tmp_path / "pictures"
    for i, pixels in enumerate(GREY):
        picture(root / f"kind{i % 3}" / f"{i:02d}.png", pixels)
    return root


def read_one(path, **config):
    """Two rows, of which the first is the picture."""
    found = load(path, DataConfig(valid=1, **config))
    data = read(path, found.schema)
    return found, found.schema.restore(data.batch(torch.arange(len(data))).x)


def test_folder_has_classes_from_its_subfolders(folder):
    found = load(folder)
    assert found.schema.classes == ("kind0", "kind1", "kind2")
    assert found.notes == ()
    order = np.argsort(np.arange(N) % 3, kind="stable")
    same(found, GREY[order])
    assert found.splits.train.labels.tolist() == np.sort(Y)[found.splits.train.rows].tolist()


def test_rows_of_a_folder_have_the_names_of_their_files(folder):
    """Sorted by path; unreadable files have none; kept through splits, `take` and `to`."""
    (folder / "kind0" / "00a.png").write_text("no picture")
    pixels = {f"kind{i % 3}/{i:02d}.png": GREY[i] for i in range(N)}
    found = load(folder, DataConfig(valid=4, binarize="static"))
    whole = read(folder, found.schema)
    assert whole.names == tuple(sorted(pixels))
    plain = load(folder, DataConfig(valid=4))
    for data in plain.splits[:2]:
        assert len(data.names) == len(data)
        for name, x in zip(data.names, data.x, strict=True):
            assert np.array_equal(pixels[name], x[0])
    train = found.splits.train
    assert train.names == plain.splits.train.names
    some = train.take(torch.tensor([3, 0])).to("cpu")
    assert some.names == (train.names[3], train.names[0])
    assert load(X).splits.train.names is None


def test_names_in_splits_begin_with_the_split(tmp_path):
    for part, n in (("train", 6), ("test", 2)):
        for i in range(n):
            picture(tmp_path / part / f"{i}.png", GREY[i])
    splits = load(tmp_path).splits
    assert splits.test.names == ("test/0.png", "test/1.png")
    assert splits.train.names[0].startswith("train/")


def test_labels_name_the_sources_own_labels(folder, tmp_path):
    """As in `condition='labels'`: of a folder the classes, of an archive its usual key."""
    np.savez(tmp_path / "a.npz", X=X, y=Y)
    np.savez(tmp_path / "b.npz", X=X)
    np.save(tmp_path / "c.npy", X)
    for source in (folder, tmp_path / "a.npz", "digits"):
        plain = load(source, DataConfig(condition="labels"))
        said = load(source, DataConfig(condition="labels", labels="labels"))
        assert said.schema == plain.schema
        assert torch.equal(said.splits.train.c, plain.splits.train.c)
        for labels in (None, "labels"):
            again = read(source, plain.schema, labels=labels)
            expected = plain.splits.test or plain.splits.train
            assert torch.equal(again.c[expected.rows], expected.c)
    for name in ("b.npz", "c.npy"):
        with pytest.raises(DiaboloError, match="There are no labels in"):
            load(tmp_path / name, DataConfig(labels="labels"))
        with pytest.raises(DiaboloError, match="There are no labels in"):
            read(tmp_path / name, load(X).schema, labels="labels")


def test_folder_of_pictures_alone_has_no_classes(tmp_path):
    for i, pixels in enumerate(GREY):
        picture(tmp_path / f"{i:02d}.png", pixels)
    found = load(tmp_path)
    assert found.splits.train.labels is None
    same(found, GREY)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_subfolders_called_as_splits_are_splits(tmp_path, names):
    for name, n in zip(names, (8, 2, 3), strict=True):
        for i in range(n):
            picture(tmp_path / name / f"kind{i % 2}" / f"{i}.png", GREY[i])
    found = load(tmp_path)
    assert [len(d) for d in found.splits] == [8, 2, 3]
    assert found.schema.classes == ("kind0", "kind1")


def test_unreadable_pictures_are_skipped_and_counted_or_refused(folder):
    whole = picture(folder / "kind0" / "whole.png", np.repeat(GREY[0], 20, 0).repeat(20, 1))
    raw = whole.read_bytes()
    (folder / "kind0" / "cut.png").write_bytes(raw[: len(raw) // 2])
    (folder / "kind1" / "text.png").write_text("this is no picture")
    (folder / "kind1" / ".hidden.png").write_text("nor is this")
    (folder / "kind1" / "notes.txt").write_text("and this is passed over")
    whole.unlink()
    found = load(folder)
    assert len(found.splits.train) + len(found.splits.valid) == N
    note = found.notes[0]
    assert note.startswith("2 of 14 images cannot be read and were skipped")
    assert "cut.png" in note
    assert "text.png" in note
    with pytest.raises(DiaboloError, match=r"2 of 14 images cannot be read.*cut.png"):
        load(folder, DataConfig(strict=True))


def test_folder_without_a_readable_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DiaboloError, match=r"None of 1 images can be read.*not an image"):
        load(tmp_path)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DiaboloError, match="is empty"):
        load(tmp_path)
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(DiaboloError, match=r"no images in the folder.*'a.docx'"):
        load(tmp_path)


def test_single_picture_is_refused_as_too_little(tmp_path):
    picture(tmp_path / "a.png", GREY[0])
    with pytest.raises(DiaboloError, match="at least two rows"):
        load(tmp_path / "a.png")


def test_mixed_modes_become_rgb_and_say_so(folder):
    color = RNG.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    picture(folder / "kind0" / "color.png", color)
    found = load(folder)
    assert found.schema.event == (3, 6, 5)
    assert found.schema.layout == "hwc"
    assert any("12 of 13 images are grey: all are read as RGB" in n for n in found.notes)
    assert load(folder, DataConfig(color="grey")).schema.event == (1, 6, 5)


def test_transparent_pictures_lie_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255  # opaque black above, transparent black below
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, pixels)
    _, x = read_one(tmp_path)
    assert x[0, :2].max() == 0
    assert x[0, 2:].min() == 255


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_become_eight(tmp_path, dtype):
    levels = np.arange(16).reshape(4, 4) * 17
    name = "a.png" if dtype == np.uint16 else "a.tif"
    picture(tmp_path / name, (levels * 257).astype(dtype))
    picture(tmp_path / f"b{name}", (levels * 257).astype(dtype))
    assert np.array_equal(read_one(tmp_path)[1][0], levels)


def test_palettes_are_looked_up(tmp_path):
    grey = Image.fromarray(GREY[0]).quantize(8)
    color = Image.fromarray(np.stack([GREY[0], GREY[1], GREY[2]], -1)).quantize(8)
    for name, image in (("grey", grey), ("color", color)):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png")
        image.save(tmp_path / name / "b.png")
    assert np.array_equal(read_one(tmp_path / "grey")[1][0], np.asarray(grey.convert("L")))
    assert np.array_equal(read_one(tmp_path / "color")[1][0], np.asarray(color.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(tmp_path, orientation):
    upright = np.repeat(np.repeat(GREY[0], 8, 0), 8, 1)
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo[orientation](upright))
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, stored, exif=exif)
    found, x = read_one(tmp_path)
    assert found.schema.event == (1, *upright.shape)
    assert np.array_equal(x[0], upright)


def test_sizes_follow_the_stated_rule(tmp_path):
    def sized(name, *shapes):
        for i, shape in enumerate(shapes):
            picture(tmp_path / name / f"{i}.png", RNG.integers(0, 256, shape).astype(np.uint8))
        return load(tmp_path / name)

    common = sized("common", (9, 8), (9, 8), (30, 40))
    assert common.schema.event == (1, 9, 8)
    assert any("1 of 3 images are scaled and cropped to 9x8" in n for n in common.notes)
    assert sized("median", (90, 80), (100, 50), (50, 100)).schema.event == (1, 64, 57)
    assert sized("large", *[(300, 400)] * 3).schema.event == (1, 48, 64)
    folder = tmp_path / "median"
    assert load(folder, DataConfig(size=20)).schema.event == (1, 20, 20)
    assert load(folder, DataConfig(size=(20, 10))).schema.event == (1, 20, 10)
    with pytest.raises(DiaboloError, match="size must be positive"):
        load(folder, DataConfig(size=0))


def test_pictures_are_cropped_about_their_centre(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, wide)
    picture(tmp_path / "c.png", np.zeros((8, 24), np.uint8))
    assert read_one(tmp_path, size=8)[1][0].min() == 255


def test_new_pictures_are_brought_to_the_size_of_training(folder, tmp_path):
    found = load(folder)
    path = picture(tmp_path / "new.png", RNG.integers(0, 256, (60, 50, 3)).astype(np.uint8))
    assert read(path, found.schema).x.shape == (1, 1, 6, 5)


def test_pictures_are_read_for_arrays_of_another_layout(tmp_path):
    schema = load(RNG.integers(0, 256, (N, 3, 6, 5)).astype(np.uint8)).schema
    pixels = RNG.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    data = read(picture(tmp_path / "a.png", pixels), schema)
    assert np.array_equal(data.x[0].numpy(), pixels.transpose(2, 0, 1))


# Names and paths.


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("mnits", r"Unknown data set: 'mnits'. Did you mean 'mnist'\?.*no file or folder"),
        ("nowhere/a.npz", "'nowhere' does not exist"),
        ("missing.csv", r"There is no file or folder 'missing.csv'"),
        ("~/no-such-folder-at-all/x.csv", "does not exist"),
    ],
)
def test_missing_source_is_refused(source, match):
    with pytest.raises(DiaboloError, match=match):
        load(source)


def test_misspelt_file_has_its_neighbour_named(tmp_path):
    (tmp_path / "wine.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DiaboloError, match=r"Did you mean 'wine.csv'\?"):
        load(tmp_path / "wines.csv")


def test_unknown_ending_is_refused(tmp_path):
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(DiaboloError, match=r"Cannot tell what .* Known: .*\.npz"):
        load(tmp_path / "a.docx")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_are_refused(count):
    with pytest.raises(DiaboloError, match=r"at least (one row|two rows)"):
        load(X[:count])


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("memory", {"key": "X"}),
        ("memory", {"size": 8}),
        ("memory", {"labels": "y"}),
        ("digits", {"color": "rgb"}),
        ("digits", {"labels": "y"}),
        ("a.csv", {"key": "X"}),
        ("a.npz", {"strict": True}),
        ("a.npy", {"labels": "q"}),
        ("a.npy", {"key": "x"}),
        ("pictures", {"labels": "kind"}),
    ],
)
def test_option_without_effect_on_a_source_is_refused(tmp_path, folder, name, option):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    np.savez(tmp_path / "a.npz", X=X)
    np.save(tmp_path / "a.npy", X)
    source = {"memory": X, "digits": "digits"}.get(name, tmp_path / name)
    with pytest.raises(DiaboloError, match=f"data.{next(iter(option))}=.* has no effect"):
        load(source, DataConfig(**option))


def test_part_for_validation_twice_is_refused():
    with pytest.raises(DiaboloError, match="own validation part"):
        load(X, DataConfig(valid=0.5), valid=X)


def test_separator_is_found_though_the_head_ends_within_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr("diabolo.data.readers.table.HEAD", 3000)
    wide = RNG.normal(size=(4, 60))
    rows = "\n".join(";".join(f"{v:.17g}" for v in row) for row in wide)
    (tmp_path / "a.csv").write_text(rows)
    same(load(tmp_path / "a.csv"), wide)


@pytest.mark.parametrize("kind", ["npy", "parquet", "arrow"])
@pytest.mark.parametrize("memory", ["whole", "mapped"])
def test_a_shard_without_rows_is_left_out_and_said(kind, memory, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "d").mkdir()
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    for name, rows in (("a", x[:0]), ("b", x[:20]), ("c", x[:0]), ("d", x[20:])):
        path = tmp_path / "d" / f"{name}.{kind}"
        if kind == "npy":
            np.save(path, rows)
            continue
        table = pa.table({f"f{i}": rows[:, i] for i in range(3)})
        if kind == "parquet":
            parquet.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as file:
                file.write_table(table)
    found = load(tmp_path / "d", DataConfig(memory=memory, valid=5))
    assert len(found.splits.train) + len(found.splits.valid) == 30
    assert any(f"'a.{kind}' and 1 more: no rows" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_shards_that_all_have_no_rows_are_refused(kind, tmp_path):
    for name in "ab":
        if kind == "npy":
            np.save(tmp_path / f"{name}.npy", np.zeros((0, 3)))
        else:
            parquet.write_table(pa.table({"f": np.zeros(0)}), tmp_path / f"{name}.parquet")
    with pytest.raises(DiaboloError, match="rows"):
        load(tmp_path)


def test_an_empty_folder_names_all_that_it_may_hold(tmp_path):
    with pytest.raises(DiaboloError, match=r"images, \.npy files, or Parquet, Arrow or Feather"):
        load(tmp_path)
