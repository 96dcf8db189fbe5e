"""The verb `explore`, and the folder that needs no server of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diabolo
from diabolo.__main__ import main
from diabolo.explore import page as pages
from diabolo.explore import server, static, write_folder
from diabolo.explore.guard import POLICY
from diabolo.panels._rows import rows

DATA = np.random.default_rng(0).integers(0, 2, (40, 6), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("runs") / "bits"
    np.save(place.parent / "bits.npy", DATA)
    return diabolo.fit(
        place.parent / "bits.npy",
        net="mlp(hidden=(8,))",
        latent=3,
        epochs=1,
        device="cpu",
        out=place,
    )


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page as it would be built."""
    place = tmp_path / "page"
    (place / "assets").mkdir(parents=True)
    (place / "index.html").write_text("<!doctype html><html><head></head><body>page</body></html>")
    (place / "assets" / "app.js").write_text("'app'")
    (place / "report.js").write_text("'report'")
    monkeypatch.setattr(pages, "PLACE", place)
    return place


@pytest.fixture
def packages() -> None:
    for name in ("starlette", "uvicorn", "websockets"):
        pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.mark.usefixtures("built", "packages")
def test_the_verb_prints_an_address_and_ends_quietly_with_ctrl_c(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    seen: list[bytes] = []

    def look(address: str) -> None:
        with urllib.request.urlopen(address, timeout=10) as answer:
            seen.append(answer.read())
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    monkeypatch.setattr(server, "browse", look)
    assert main(["explore", str(run.folder)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("http://127.0.0.1:")
    assert "/?token=" in told.out
    assert b"page" in seen[0]
    assert "Traceback" not in told.err
    assert "Ctrl-C ends it." in told.err


def test_a_process_ends_at_once_though_a_map_is_being_made() -> None:
    """A thread inside C++ is never killed by the interpreter's end, which would abort."""
    words = (
        "import atexit, sys, threading, time\n"
        "from diabolo.cli._ends import leave\n"
        "leave(5)  # nothing computes: nothing happens\n"
        "atexit.register(print, 'late')\n"
        "made = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
        "made.name = 'diabolo-later'\n"
        "made.start()\n"
        "print('told')\n"
        "leave(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "told\n", "")


MISTAKES = {
    "rows": (["--rows", "0"], "--rows is 1 or more"),
    "port": (["--port", "99999999"], "Cannot listen at 127.0.0.1"),
    "host": (["--host", "no such name"], "Cannot listen at no such name"),
    "labels": (["--labels", "y"], "name DATA too"),
    "file": (["nowhere.npy"], "nowhere.npy"),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.usefixtures("built", "packages")
def test_a_mistake_is_told_in_a_sentence(
    case: str, run: Any, capsys: pytest.CaptureFixture
) -> None:
    words, sentence = MISTAKES[case]
    assert main(["explore", str(run.folder), *words, "--no-open"]) == 2
    assert sentence in capsys.readouterr().err


def test_what_is_lacking_is_told(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pages, "PLACE", tmp_path / "nothing")
    pytest.importorskip("websockets", reason="websockets is not installed")
    assert main(["explore", str(run.folder)]) == 2
    assert "make web" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "websockets", None)
    assert main(["explore", str(run.folder)]) == 2
    assert "diabolo[explore]" in capsys.readouterr().err


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"decoder": b"d", "encoder": b"e"}
    monkeypatch.setattr(static, "_exported", lambda run, tell: contents)


@pytest.mark.usefixtures("built", "exported")
def test_a_folder_holds_all_that_a_page_reads(run: Any, tmp_path: Path) -> None:
    place = write_folder(run, None, tmp_path / "site")
    told = json.loads((place / "data" / "scene.json").read_text())
    assert told["live"] is False
    assert {c["state"] for c in told["colours"] + told["maps"]} <= {"ready", "failed"}
    for key, facts in told["arrays"].items():
        kind = {"f4": "<f4", "u1": "u1", "i4": "<i4"}[facts["dtype"]]
        assert np.fromfile(place / "data" / f"{key}.bin", kind).size == np.prod(facts["shape"])
    assert told["can"]["decode"] is True
    assert "server" in told["can"]["impute"]
    codes = np.fromfile(place / "data" / "codes.bin", "<f4").reshape(-1, 3)
    np.testing.assert_array_equal(codes, rows(run).codes)
    assert (place / told["decoder"]["file"]).read_bytes() == b"d"
    assert (place / told["encoder"]["file"]).read_bytes() == b"e"
    assert f'content="{POLICY}"' in (place / "index.html").read_text()
    assert not (place / "report.js").exists()
    assert (place / "assets" / "app.js").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page", "site"]


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_a_folder_decodes_as_the_run_does(run: Any, tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    place = write_folder(run, None, tmp_path / "site")
    codes = np.fromfile(place / "data" / "codes.bin", "<f4").reshape(-1, 3)
    (mean,) = runtime.InferenceSession(place / "data" / "decoder.onnx").run(None, {"z": codes})
    np.testing.assert_allclose(mean, run.decode(codes), atol=1e-4)


@pytest.mark.usefixtures("built", "exported")
def test_a_folder_is_replaced_by_force_alone_and_another_never(run: Any, tmp_path: Path) -> None:
    place = write_folder(run, DATA[:12], tmp_path / "site")
    with pytest.raises(diabolo.DiaboloError, match="force"):
        write_folder(run, DATA[:12], place)
    (place / "old.txt").write_text("x")
    assert write_folder(run, DATA[:12], place, force=True) == place
    assert not (place / "old.txt").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(diabolo.DiaboloError, match="no exported page"):
        write_folder(run, DATA[:12], other, force=True)
    with pytest.raises(diabolo.DiaboloError, match="is a file"):
        write_folder(run, DATA[:12], other / "thesis.tex")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "page", "site"]


@pytest.mark.usefixtures("built", "exported")
def test_nothing_is_half_written(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(static.shutil, "copyfile", broken)
    with pytest.raises(diabolo.DiaboloError, match="No space left"):
        write_folder(run, DATA[:12], tmp_path / "a" / "site")
    assert not (tmp_path / "a").exists()


def test_a_model_that_cannot_be_exported_is_refused_with_the_reason(
    run: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diabolo import exports

    def refused(_: Any) -> bytes:
        raise diabolo.DiaboloError("This model cannot be exported.")

    monkeypatch.setattr(exports, "export_decoder", refused)
    with pytest.raises(diabolo.DiaboloError, match="cannot be exported"):
        write_folder(run, None, tmp_path / "site")
    assert not (tmp_path / "site").exists()
