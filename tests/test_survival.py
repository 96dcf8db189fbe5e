"""A training outlives crashes at every moment of a write, spoiled files and full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

import diabolo
from diabolo import checkpoint
from diabolo.__main__ import main
from diabolo.checkpoint import former, load_state, save_state, states
from diabolo.cli._finish import report
from diabolo.config import RunConfig
from diabolo.errors import DiaboloError
from diabolo.run import folder as folders
from diabolo.run import workshop as workshops
from diabolo.signals import Terminated, terminable, undisturbed
from diabolo.train import Row, loop
from diabolo.train.settings import other_bits

SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "epochs": 5, "batch_size": 16}
ROOT = Path(__file__).parents[1]


class Killed(Exception):
    """Stands for whatever ends a process in the middle of its work."""


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def file(folder: Path) -> Path:
    path = folder / "x.npy"
    np.save(path, table())
    return path


def flip(path: Path, at: int = -200) -> None:
    """Changes one bit."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def killed_after(epoch: int) -> Callable[[Any], None]:
    def stop(event: Any) -> None:
        if isinstance(event, Row) and event.epoch == epoch:
            raise Killed

    return stop


def cut(data: Any, place: Path) -> Path:
    """Leaves a killed training with two states; returns the newer one."""
    with pytest.raises(Killed):
        diabolo.fit(data, out=place, progress=killed_after(3), checkpoint_minutes=1e-9, **SMALL)
    path = place.with_name(f".{place.name}.part") / folders.STATE
    assert states(path) == [path, former(path)]
    return path


def same(a: diabolo.Run, b: diabolo.Run) -> bool:
    rows = [[replace(r, seconds=0.0) for r in run.history.rows] for run in (a, b)]
    one, two = (run.model.state_dict() for run in (a, b))
    return rows[0] == rows[1] and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("moment", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_moment_of_a_write_leaves_a_sound_state(
    call: str, moment: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    for i in range(2):
        save_state(path, {"x": torch.full((3,), i)})
    real, calls = getattr(os, call), []

    def dying(*args: Any) -> None:
        calls.append(args)
        if len(calls) - 1 == moment:
            if after:
                real(*args)
            raise Killed
        real(*args)

    monkeypatch.setattr(checkpoint.os, call, dying)
    with pytest.raises(Killed):
        save_state(path, {"x": torch.full((3,), 2)})
    monkeypatch.undo()
    newest = float(load_state(states(path)[0])["x"][0])
    assert newest in (1, 2)
    save_state(path, {"x": torch.full((3,), 3)})
    assert [float(load_state(p)["x"][0]) for p in states(path)] == [3, newest]
    assert not list(tmp_path.glob(".*"))


SPOILED: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-7]),
    "half": lambda p: p.write_bytes(p.read_bytes()[:1000]),
    "flipped": flip,
    "flipped at its beginning": lambda p: flip(p, 3),
    "foreign": lambda p: torch.save({"a": 1}, p),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"x"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_state_costs_one_interval(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    source = file(tmp_path)
    newer = cut(source, tmp_path / "run")
    spoil(newer)
    with pytest.raises(DiaboloError, match=r"damaged") as caught:
        load_state(newer)
    assert "\n" not in str(caught.value)
    said: list[Any] = []
    found = diabolo.resume(tmp_path / "run", progress=said.append)
    assert any("Going on from the state before it" in s for s in said if isinstance(s, str))
    assert same(found, diabolo.fit(source, **SMALL))


def test_two_spoiled_states_are_a_sentence_and_stay(tmp_path: Path) -> None:
    newer = cut(file(tmp_path), tmp_path / "run")
    for path in states(newer):
        flip(path)
    with pytest.raises(DiaboloError, match=r"damaged.*There is no other state"):
        diabolo.resume(tmp_path / "run")
    assert len(states(newer)) == 2


def test_nothing_but_the_folder_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file(tmp_path / "here")
    cut("x.npy", Path("run").resolve())
    monkeypatch.chdir(tmp_path / "there")  # the path of the data was relative
    found = diabolo.resume(tmp_path / "here" / "run")
    assert same(found, diabolo.fit(table(), **SMALL))


def test_data_of_memory_are_asked_for(tmp_path: Path) -> None:
    cut(table(), tmp_path / "run")
    with pytest.raises(DiaboloError, match=r"data that were passed in memory.*data=\.\.\."):
        diabolo.resume(tmp_path / "run")
    with pytest.raises(DiaboloError, match="train data are not those"):
        diabolo.resume(tmp_path / "run", table() + 1)
    assert same(diabolo.resume(tmp_path / "run", table()), diabolo.fit(table(), **SMALL))


def test_a_refused_word_is_not_remembered(tmp_path: Path) -> None:
    cut(file(tmp_path), tmp_path / "run")
    with pytest.raises(DiaboloError, match="learning_rate"):
        diabolo.resume(tmp_path / "run", learning_rate=0.5)
    assert len(diabolo.resume(tmp_path / "run", epochs=4).history.rows) == 4


@pytest.mark.parametrize("name", ["run.json", "weights.safetensors", "history.jsonl"])
def test_a_flipped_bit_of_a_run_is_found(name: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    diabolo.fit(table(), out=place, **{**SMALL, "epochs": 1})
    path = place / name
    # A digit of a number, so that the file is read as before; or the last byte of the last tensor.
    before = {"run.json": b'"created": "202', "history.jsonl": b'"step": '}.get(name)
    at = -1 if before is None else path.read_bytes().index(before) + len(before)
    flip(path, at)
    with pytest.raises(DiaboloError, match=rf"{name} is damaged"):
        diabolo.load(place)


def test_a_disk_that_is_full_for_a_while_is_told_once_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if 8 <= len(calls) < 20:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    said: list[Any] = []
    place = tmp_path / "run"
    found = diabolo.fit(table(), out=place, progress=said.append, checkpoint_minutes=1e-9, **SMALL)
    notes = [s for s in said if isinstance(s, str)]
    assert sum("No space left on device. Training goes on" in n for n in notes) == 1
    assert sum("written again" in n for n in notes) == 1
    monkeypatch.undo()
    assert same(found, diabolo.fit(table(), **SMALL))


def test_a_kill_between_the_two_renames_loses_no_run(tmp_path: Path) -> None:
    place = tmp_path / "run"
    former_run = diabolo.fit(table(), out=place, **{**SMALL, "epochs": 1})
    place.rename(tmp_path / ".run.12345678.old")
    with workshops.workshop(place, force=True):
        assert same(diabolo.load(place), former_run)


def test_other_settings_are_told() -> None:
    before = {"device": "cpu", "threads": 2, "torch": "2.13.0"}
    assert other_bits(before, dict(before)) is None
    told = other_bits(before, {**before, "threads": 1})
    assert told is not None
    assert "not bit for bit" in told
    assert "threads was 2 and is 1" in told


def test_signals_wait_for_a_write_that_belongs_together() -> None:
    done = []

    def work() -> None:
        with terminable():
            with undisturbed():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("written")
            done.append("not reached")

    with pytest.raises(Terminated):
        work()
    assert done == ["written"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def process(*words: object) -> subprocess.Popen[str]:
    own = [sys.executable, "-m", "diabolo", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        own, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.usefixtures("undrawn")
def test_sigterm_saves_and_tells_how_to_go_on(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "run"
    small = ["--k", "2", "--set", "latent=2", "net=mlp(hidden=(8,))", "data.limit=100"]
    small += ["compile=off"]  # as a long training would begin
    child = process("fit", "digits", "--out", place, *small, "epochs=1000000", "schedule=constant")
    assert child.stderr is not None
    for line in child.stderr:
        if "epoch 1/" in line:
            break
    child.send_signal(signal.SIGTERM)
    told = child.communicate(timeout=100)[1]
    assert child.returncode == 143
    assert f"go on with: diabolo fit --resume {place}" in told
    epochs = len(diabolo.load(place).history.rows) + 1
    assert main(["fit", "--resume", str(place), "--k", "2", "--set", f"epochs={epochs}"]) == 0
    assert main(["fit", "--resume", str(place)]) == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_a_folder_after_an_equals_sign_is_a_sentence(capsys: Any) -> None:
    assert main(["fit", "--resume=run"]) == 2
    assert "fit --resume RUN" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_skipped_steps_are_told_at_the_end(steps: int, tmp_path: Path, capsys: Any) -> None:
    run = diabolo.fit(table(), out=tmp_path / "run", **SMALL)
    rows = run.history.rows
    spread = (0, steps) if steps < 2 else (1, steps - 1)  # over epochs, which are added up
    rows[:2] = [replace(r, skipped=n) for r, n in zip(rows[:2], spread, strict=True)]
    found = run.evaluate(k=2)
    run.save()
    report(run, found, {}, [], json=True)
    assert json.loads(capsys.readouterr().out)["skipped"] == steps
    report(run, found, {}, [], json=False)
    told = capsys.readouterr().out
    sentence = {0: "", 1: "1 step was skipped", 3: "3 steps were skipped"}[steps]
    assert sentence in told
    assert (" skipped, since" in told) == bool(steps)


def test_a_training_that_diverges_ends_with_one_and_a_sentence(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = loop.validate, []

    def spoiled(*args: Any) -> torch.Tensor:
        seen.append(1)
        return real(*args) * (torch.nan if len(seen) > 2 else 1)

    monkeypatch.setattr(loop, "validate", spoiled)
    place = tmp_path / "run"
    words = ["fit", str(file(tmp_path)), "--out", str(place), "--k", "2", "--set", "latent=2"]
    assert main([*words, "net=mlp(hidden=(8,))", "epochs=5"]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Training diverged" in told
    assert "last good weights. Try a smaller learning_rate or clip" in told
    assert str(place) in told
    kept = diabolo.load(place)
    assert (kept.history.stopped, len(kept.history.rows)) == ("diverged", 2)
    assert bool(torch.from_numpy(np.asarray(kept.sample(2))).isfinite().all())


def test_a_state_of_another_model_is_a_sentence_and_stays(tmp_path: Path) -> None:
    source = file(tmp_path)
    newer = cut(source, tmp_path / "run")
    content = load_state(newer)
    content["model"] = {f"other.{k}": v for k, v in content["model"].items()}
    save_state(newer, content)
    with pytest.raises(DiaboloError, match=r"The checkpoint is of another model"):
        diabolo.resume(tmp_path / "run")
    assert newer in states(newer)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # seven starts
@pytest.mark.parametrize(("devices", "epochs"), [(1, 150), (2, 60)])
def test_kills_at_random_moments_cost_one_step_each(
    tmp_path: Path, devices: int, epochs: int
) -> None:
    out = tmp_path / "kill.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "kill.py"), "--kills", "5", "--seed", "3"]
    words += ["--devices", str(devices), "--epochs", str(epochs), "--out", str(out)]
    subprocess.run(words, check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert found["processes_at_the_end"] == devices
    assert found["kills"] == 5
    assert found["most_steps_again"] <= found["interval_in_steps"]
    assert found["weights_equal"]
    assert found["history_equal"]
    assert found["left"] == ["killed"]


def test_a_workshop_is_cleared_before_the_next_one_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed at the end is never the new folder of the next training."""
    place = tmp_path / "new" / "run"
    free: list[bool] = []

    def clear(part: Path, *, keep: bool = True) -> None:
        other = FileLock(tmp_path / "new" / ".run.lock", timeout=0)
        try:
            other.acquire()
        except Timeout:
            free.append(False)
        else:
            other.release()
            free.append(True)
        cleared(part, keep=keep)

    cleared = workshops._clear
    monkeypatch.setattr(workshops, "_clear", clear)
    with workshops.workshop(place):
        pass
    assert free == [False, False]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["last question", "end"])
def test_a_signal_after_the_last_step_loses_no_training(
    number: signal.Signals, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after `stoppable` ends, and before anything of the run is written."""
    load = torch.nn.Module.load_state_dict
    ended = loop._Loop._ended

    def end(self: Any) -> bool:
        done = ended(self)
        if done and when == "last question":
            signal.raise_signal(number)
        return done

    def late(*args: Any, **options: Any) -> Any:
        if when == "end":
            signal.raise_signal(number)
        return load(*args, **options)

    monkeypatch.setattr(loop._Loop, "_ended", end)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", late)
    before = signal.getsignal(signal.SIGINT)
    with terminable(), pytest.raises(diabolo.run.Interrupted) as caught:
        diabolo.fit(table(), out=tmp_path / "run", **SMALL)
    monkeypatch.undo()
    assert caught.value.terminated == (number == signal.SIGTERM)
    found = diabolo.load(tmp_path / "run")
    assert (found.history.stopped, len(found.history.rows)) == ("epochs", 5)
    assert same(found, diabolo.fit(table(), **SMALL))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_training_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    def ask(event: Any) -> None:
        if isinstance(event, RunConfig):
            signal.raise_signal(number)

    with terminable(), pytest.raises(KeyboardInterrupt) as caught:
        diabolo.fit(table(), out=tmp_path / "run", progress=ask, **SMALL)
    assert caught.type is (Terminated if number == signal.SIGTERM else KeyboardInterrupt)
    assert not list(tmp_path.iterdir())
