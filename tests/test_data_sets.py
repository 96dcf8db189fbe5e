"""Named sets: what each holds, where its files are found, and how they are downloaded."""

from __future__ import annotations

import gc
import gzip
import hashlib
import importlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import scipy.io
import torch

from diabolo.config import DataConfig
from diabolo.data import SETS, load
from diabolo.data.fetch import File, Store
from diabolo.errors import DiaboloError
from laws import data as laws

COUNTS = {
    "adult": (29_305, 3256, 16_281),
    "binarized_mnist": (50_000, 10_000, 10_000),
    "digits": (1294, 144, 359),
    "fashion_mnist": (54_000, 6000, 10_000),
    "mnist": (54_000, 6000, 10_000),
    "olivetti": (288, 32, 80),
    "omniglot": (17_352, 1928, 13_180),
    "wine_quality": (4678, 520, 1299),
}
FOLDERS = {"olivetti": "olivetti_faces"}
EMBEDDED = {"digits"}
# The published draw: bits of the 10,000 test images with seed 0, as bytes, row by row.
MNIST_BITS = "7b5b48e1d6c95808730ce6a4db7abd4a079fdcd46b10ba8e2d296e190f91bffd"


@pytest.fixture(params=SETS.names())
def loaded(request):
    name = request.param
    if name in EMBEDDED:
        return name, laws.named(name, None)
    folder = request.getfixturevalue("data_dir")
    if not (folder / FOLDERS.get(name, name)).is_dir():
        pytest.skip(f"DIABOLO_DATA has no {name}")
    return name, laws.named(name, str(folder))


def test_set_values_lie_in_their_support(loaded):
    laws.values_lie_in_their_support(loaded[1])


def test_set_types_are_small(loaded):
    laws.types_are_small(loaded[1])


def test_set_schema_survives_json(loaded):
    laws.a_schema_survives_json(loaded[1].schema)


def test_set_splits_are_disjoint(loaded):
    name, found = loaded
    laws.splits_are_disjoint(found)
    train, valid = found.splits.train.rows, found.splits.valid.rows
    if name != "binarized_mnist":  # Its parts are files of their own, each counted from 0.
        assert not set(train.tolist()) & set(valid.tolist())


def test_set_counts_are_the_published_ones(loaded):
    name, found = loaded
    counts = tuple(len(d) for d in laws.parts(found))
    assert counts == COUNTS.get(name, counts)
    for data in laws.parts(found):
        if data.labels is not None:
            assert len(data.labels) == len(data)
            assert int(data.labels.max()) < len(data.classes)


def test_grey_levels_of_a_set_are_continuous_between_their_own_ends():
    loaded = load("digits", DataConfig(support="unit"))
    assert loaded.splits.train.batch(torch.arange(100)).x.max() == 1
    assert any("j / 16" in note for note in loaded.notes)


def test_digits_hold_out_every_fifth_row():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    test = laws.named("digits", None).splits.test
    assert np.array_equal(test.x.flatten(1).numpy(), pixels[4::5])
    assert test.labels.tolist() == labels[4::5].tolist()


@pytest.mark.oracle(35)
def test_mnist_baselines_are_the_known_ones(data_dir):
    # Oracle 35: catches errors of normalisation, of order and of scaling.
    found = laws.named("mnist", str(data_dir), binarize="dynamic").splits
    n, m = len(found.train), len(found.valid)
    p = (found.train.moments()[0] * n + found.valid.moments()[0] * m).double() / (n + m)
    p = p.clamp(1e-6, 1 - 1e-6)
    grey = found.test.decoder.mean(found.test.x).double()
    baseline = -(grey * p.log() + (1 - grey) * (1 - p).log()).flatten(1).sum(1).mean()
    entropy = -(torch.xlogy(grey, grey) + torch.xlogy(1 - grey, 1 - grey)).flatten(1).sum(1).mean()
    assert float(baseline) == pytest.approx(205.80, abs=0.01)
    assert float(entropy) == pytest.approx(45.53, abs=0.01)
    levels = torch.arange(256).double() / 255
    each = -(torch.xlogy(levels, levels) + torch.xlogy(1 - levels, 1 - levels))
    counts = sum(torch.bincount(d.x.flatten(), minlength=256) for d in (found.train, found.valid))
    assert float(counts.double() @ each) / (n + m) == pytest.approx(45.76, abs=0.01)


def test_mnist_test_bits_are_the_published_draw(data_dir):
    found = laws.named("mnist", str(data_dir), binarize="dynamic").splits.test
    assert found.digest() == MNIST_BITS


def test_olivetti_faces_are_upright(data_dir):
    # Each person's pictures are alike: nearer to each other than to those of other persons.
    if not (data_dir / "olivetti_faces").is_dir():
        pytest.skip("DIABOLO_DATA has no olivetti_faces")
    x = laws.named("olivetti", str(data_dir)).splits.train.x.float()[:, 0]
    across = (x[:, :, 1:] - x[:, :, :-1]).abs().mean()
    # A face is more alike to its own mirror image than to itself upside down.
    assert (x - x.flip(2)).abs().mean() < (x - x.flip(1)).abs().mean()
    assert across < 12


def test_omniglot_says_that_it_is_not_burdas_split(data_dir):
    if not (data_dir / "omniglot").is_dir():
        pytest.skip("DIABOLO_DATA has no omniglot")
    assert any("Burda" in note for note in laws.named("omniglot", str(data_dir)).notes)


def test_omniglot_reads_burdas_columns_in_their_order(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.random((30, 28, 28)).astype(np.float32)
    columns = images.transpose(0, 2, 1).reshape(30, -1).T  # column-major, one image a column
    target = np.eye(50)[rng.integers(0, 50, 30)].T
    path = tmp_path / "chardata.mat"
    scipy.io.savemat(
        path,
        {
            "data": columns[:, :20],
            "target": target[:, :20],
            "testdata": columns[:, 20:],
            "testtarget": target[:, 20:],
        },
    )
    module = importlib.import_module("diabolo.data.sets.omniglot")
    raw = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
    monkeypatch.setattr(module, "BURDA", File(name="chardata.mat", git=blob))
    found = load("omniglot", DataConfig(data_dir=str(tmp_path), valid=2))
    assert np.array_equal(found.splits.test.x[:, 0].numpy(), images[20:])
    assert found.splits.test.labels.tolist() == target[:, 20:].argmax(0).tolist()
    assert not found.notes


# Files: a small stand-in for MNIST, with its own checksums.


def idx(array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The four files of a set called mnist with 12 and 5 images; no other place has any."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.integers(0, 256, (12, 28, 28)),
        np.arange(12) % 10,
        rng.integers(0, 256, (5, 28, 28)),
        np.arange(5) % 10,
    )
    names = importlib.import_module("diabolo.data.sets._idx").NAMES
    files = {n: idx(a) for n, a in zip(names, arrays, strict=True)}
    packed = {n: gzip.compress(c, mtime=0) for n, c in files.items()}
    sums = tuple(hashlib.sha256(raw).hexdigest() for n in names for raw in (files[n], packed[n]))
    module = importlib.import_module("diabolo.data.sets.mnist")
    monkeypatch.setattr(module, "SHA256", sums)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DIABOLO_DATA", raising=False)
    return files, packed, module


class Server(ThreadingHTTPServer):
    """Serves files from memory; `broken` stops in the middle of each."""

    def __init__(self, files, broken=False):
        self.files, self.broken, self.asked = files, broken, []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append(name)
        body = self.server.files.get(name)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.broken else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    started = []

    def start(module, files, broken=False):
        server = Server(files, broken)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        monkeypatch.setattr(module, "BASE", f"http://127.0.0.1:{server.server_port}/")
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def published(packed):
    return {f"{n}.gz": c for n, c in packed.items()}


def cached(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_set_is_downloaded_once(small, serve, tmp_path):
    _, packed, module = small
    server = serve(module, published(packed))
    first = load("mnist", DataConfig(valid=2))
    assert len(server.asked) == 4
    second = load("mnist", DataConfig(valid=2))
    assert len(server.asked) == 4
    assert torch.equal(first.splits.train.x, second.splits.train.x)
    assert cached(tmp_path) == sorted(published(packed))


def test_download_with_another_checksum_is_refused(small, serve, tmp_path):
    _, packed, module = small
    serve(module, {n: gzip.compress(b"something else") for n in published(packed)})
    with pytest.raises(DiaboloError, match=r"another checksum.*Put 'train-images-idx3-ubyte'"):
        load("mnist")
    assert cached(tmp_path) == []


# requests leaves the socket of a stream that broke off to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("fault", ["breaks off", "is refused", "finds nothing"])
def test_failed_download_says_which_file_to_put_where(small, serve, tmp_path, fault):
    _, packed, module = small
    files = {} if fault == "finds nothing" else published(packed)
    server = serve(module, files, broken=fault == "breaks off")
    if fault == "is refused":
        server.shutdown()
        server.server_close()
    with pytest.raises(
        DiaboloError, match=r"Cannot download http://127.*Put 'train-images"
    ) as told:
        load("mnist", DataConfig(data_dir=str(tmp_path)))
    assert str(tmp_path / "mnist") in str(told.value)
    assert cached(tmp_path) == []
    del told
    gc.collect()


@pytest.mark.parametrize("place", ["flat", "subfolder", "environment", "cache"])
@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_set_is_found_wherever_it_may_be(small, tmp_path, monkeypatch, place, form):
    files, packed, _ = small
    base = tmp_path / ("cache/diabolo" if place == "cache" else "data")
    folder = base if place == "flat" else base / "mnist"
    folder.mkdir(parents=True)
    for name in files:
        path = folder / (name if form == "plain" else f"{name}.gz")
        path.write_bytes(files[name] if form == "plain" else packed[name])
    if place == "environment":
        monkeypatch.setenv("DIABOLO_DATA", str(base))
    data_dir = str(base) if place in ("flat", "subfolder") else None
    found = load("mnist", DataConfig(data_dir=data_dir, valid=2))
    assert found.splits.test.labels.tolist() == [0, 1, 2, 3, 4]


def test_file_packed_anew_is_accepted(small, tmp_path):
    files, _, _ = small
    for name, content in files.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    assert len(load("mnist", DataConfig(data_dir=str(tmp_path), valid=2)).splits.train) == 10


@pytest.mark.parametrize("fault", ["truncated", "other bytes"])
def test_damaged_file_of_a_set_is_refused(small, tmp_path, fault):
    files, packed, _ = small
    for name in files:
        (tmp_path / f"{name}.gz").write_bytes(packed[name])
    path = tmp_path / "train-images-idx3-ubyte.gz"
    changed = bytearray(files[path.stem])
    changed[-1] ^= 1
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2] if fault == "truncated" else gzip.compress(changed))
    message = "damaged" if fault == "truncated" else "checksum differs"
    with pytest.raises(DiaboloError, match=message):
        load("mnist", DataConfig(data_dir=str(tmp_path)))


def test_missing_data_folder_is_refused(tmp_path):
    with pytest.raises(DiaboloError, match=r"data folder .* does not exist"):
        load("digits", DataConfig(data_dir=str(tmp_path / "nowhere")))


def test_set_without_a_download_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DIABOLO_DATA", raising=False)
    with pytest.raises(DiaboloError, match=r"has no download\. Put 'rare.npz'"):
        Store().read("rare", File(name="rare.npz", sha256=("0" * 64,)))


def test_burdas_file_is_known_by_its_git_blob():
    content = b"hello\n"
    assert File(name="x", git="ce013625030ba8dba906f756967f9e9ca394464a").matches(content)
    assert not File(name="x", git="ce013625030ba8dba906f756967f9e9ca394464a").matches(b"other")
