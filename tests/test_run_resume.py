"""Going on with a training that ended before its time: exactly, or with a sentence why not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diabolo
from diabolo.__main__ import main
from diabolo.checkpoint import load_state, states
from diabolo.errors import DiaboloError
from diabolo.run import Interrupted, Run
from diabolo.run import folder as folders
from diabolo.train import Diverged, Row

SMALL: dict[str, Any] = {
    "net": "mlp(hidden=(8,))",
    "latent": 2,
    "epochs": 5,
    "batch_size": 16,
    "schedule": "cosine",
}


def left_over(place: Path) -> Path | None:
    """The newest state of a training into a folder."""
    return next((p for b in folders.left(place) for p in states(b / folders.STATE)), None)


class Killed(Exception):
    """Stands for whatever ends a process in the middle of its work."""


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def after(epoch: int, error: type[BaseException]) -> Callable[[Any], None]:
    def stop(event: Any) -> None:
        if isinstance(event, Row) and event.epoch == epoch:
            raise error

    return stop


def cut(place: Path, error: type[BaseException], **options: Any) -> None:
    """Leaves a training in `place` interrupted in order, or dead."""
    with pytest.raises(Interrupted if error is KeyboardInterrupt else error):
        diabolo.fit(
            table(),
            out=place,
            progress=after(3, error),
            **{**SMALL, **CHECKPOINT[error], **options},
        )


# An interrupt writes the state itself; a process that is killed has what was written before.
CHECKPOINT: dict[type[BaseException], dict[str, Any]] = {
    KeyboardInterrupt: {},
    Killed: {"checkpoint_minutes": 1e-9},
}
CUTS = pytest.mark.parametrize("error", CHECKPOINT)


def same(a: Run, b: Run) -> bool:
    """Whether two runs have the same rows, but for the clock, and the same weights."""
    rows = [[replace(r, seconds=0.0) for r in run.history.rows] for run in (a, b)]
    one, two = (run.model.state_dict() for run in (a, b))
    return rows[0] == rows[1] and all(torch.equal(one[k], two[k]) for k in one)


@CUTS
def test_a_resumed_run_equals_an_uninterrupted_one(error: type[BaseException], tmp_path: Path):
    expected = diabolo.fit(table(), **SMALL)
    place = tmp_path / "run"
    cut(place, error)
    said: list[Any] = []
    found = diabolo.resume(place, table(), progress=said.append, **SMALL)
    assert same(found, expected)
    assert same(diabolo.load(place), expected)
    told = next(s for s in said if isinstance(s, str) and s.startswith("Going on from"))
    assert ("run.part" in told) == (error is Killed)
    # Rows before the cut are not told again: 2 were kept of the killed one, 3 of the other.
    told_rows = [s.epoch for s in said if isinstance(s, Row)]
    assert told_rows == ([3, 4, 5] if error is Killed else [4, 5])
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert not (place / "checkpoint").exists()


def test_a_training_may_be_cut_again_and_again(tmp_path: Path) -> None:
    place = tmp_path / "run"
    cut(place, KeyboardInterrupt)
    with pytest.raises(Killed):  # before the first state of its own
        diabolo.resume(place, table(), progress=after(4, Killed), **SMALL)
    with pytest.raises(Interrupted):
        diabolo.resume(place, table(), progress=after(4, KeyboardInterrupt), **SMALL)
    found = diabolo.resume(place, table(), **SMALL)
    assert same(found, diabolo.fit(table(), **SMALL))


def test_a_resumed_training_that_diverges_keeps_all_its_rows(tmp_path: Path, monkeypatch) -> None:
    from diabolo.train import loop

    place = tmp_path / "run"
    cut(place, KeyboardInterrupt)
    real = loop.validate

    def spoiled(*args: Any) -> torch.Tensor:
        return real(*args) * (torch.nan if seen else 1)

    seen: list[Any] = []
    monkeypatch.setattr(loop, "validate", spoiled)
    with pytest.raises(Diverged, match="last good weights"):
        diabolo.resume(
            place,
            table(),
            progress=lambda e: seen.append(e) if isinstance(e, Row) else None,
            **SMALL,
        )
    assert [r.epoch for r in diabolo.load(place).history.rows] == [1, 2, 3, 4]


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(DiaboloError, match=r"nothing to resume: no training into .*run left"):
        diabolo.resume(tmp_path / "a" / "run", table(), **SMALL)
    assert not list(tmp_path.iterdir())
    diabolo.fit(table(), out=tmp_path / "run", **{**SMALL, "epochs": 1})
    with pytest.raises(
        DiaboloError, match=r"nothing to resume: the training of .* has ended.*start"
    ):
        diabolo.resume(tmp_path / "run", table(), **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "training": ({"learning_rate": 0.1}, "learning_rate=0.001 and cannot go on with 0.1"),
    "end": ({"epochs": 1}, r"is in epoch \d already and cannot end with train.epochs=1"),
    "option": ({"latent": 3}, "options.latent=2 and cannot go on with 3"),
    "shapeless option": ({"recipe": "beta_vae"}, "recipe=vae and cannot go on with beta_vae"),
    "reading": ({"limit": 30}, "data.limit=None and cannot go on with 30"),
    "data": ({"data": table() + 1}, "train data are not those that this training began with"),
}


@CUTS
@pytest.mark.parametrize("other", OTHERS)
def test_another_training_is_refused_and_harms_nothing(
    other: str, error: type[BaseException], tmp_path: Path
) -> None:
    place = tmp_path / "run"
    cut(place, error)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    options, told = OTHERS[other]
    with pytest.raises(DiaboloError, match=told):
        diabolo.resume(place, **{"data": table(), **SMALL, **options})
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before
    diabolo.resume(place, table(), **SMALL)  # as if nothing had been


def test_more_epochs_may_follow(tmp_path: Path) -> None:
    options = {**SMALL, "schedule": "constant"}
    cut(tmp_path / "run", KeyboardInterrupt, **options)
    more = {**options, "epochs": 7}
    found = diabolo.resume(tmp_path / "run", table(), **more)
    assert same(found, diabolo.fit(table(), **more))


def test_a_checkpoint_that_was_left_is_never_removed_silently(tmp_path: Path) -> None:
    place = tmp_path / "run"
    cut(place, Killed)
    left = left_over(place)
    assert left is not None
    with pytest.raises(DiaboloError, match=r"cut short.*\.run\.part.*with force.*resume\('"):
        diabolo.fit(table(), out=place, **SMALL)
    with pytest.raises(DiaboloError, match="cut short"):
        diabolo.fit(table(), **{**SMALL, "epochs": 1}).save(place)
    assert left.is_file()
    found = diabolo.fit(table(), out=place, force=True, **SMALL)
    assert len(found.history.rows) == SMALL["epochs"]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    cut(tmp_path / "other", KeyboardInterrupt)
    with pytest.raises(DiaboloError, match=r"holds a run already.*go on with its training"):
        diabolo.fit(table(), out=tmp_path / "other", **SMALL)


def test_a_damaged_beginning_is_a_sentence(tmp_path: Path) -> None:
    place = tmp_path / "run"
    cut(place, KeyboardInterrupt)
    (place / "checkpoint" / "began.json").write_text("[")
    with pytest.raises(DiaboloError, match="missing or damaged"):
        diabolo.resume(place, table(), **SMALL)


def test_an_interrupted_training_never_replaces_a_finished_run(tmp_path: Path) -> None:
    place = tmp_path / "run"
    former = diabolo.fit(table(), out=place, **{**SMALL, "epochs": 1})
    new = {**SMALL, "latent": 3}
    for i in range(2):  # and again, before it is gone on with to its end
        stop = after(3 + i, KeyboardInterrupt)
        options: dict[str, Any] = {} if i else {"out": place, "force": True, **new}
        begin = partial(diabolo.resume, place) if i else diabolo.fit
        with pytest.raises(Interrupted, match=r"The former run in .*run stands") as caught:
            begin(table(), progress=stop, **options)
        assert same(diabolo.load(place), former)
        assert caught.value.run.folder is None
        assert caught.value.left == tmp_path / ".run.part"
        assert len(caught.value.run.history.rows) == 3 + i
    with pytest.raises(DiaboloError, match=r"holds a run already.*go on with its training"):
        diabolo.fit(table(), out=place, **new)
    found = diabolo.resume(place, table(), **new)
    assert same(found, diabolo.fit(table(), **new))
    assert same(diabolo.load(place), found)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_interrupt_before_the_first_epoch_ends_leaves_the_former_run(tmp_path: Path) -> None:
    place = tmp_path / "run"
    former = diabolo.fit(table(), out=place, **{**SMALL, "epochs": 1})

    def at_once(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diabolo.fit(table(), out=place, progress=at_once, force=True, **SMALL)
    assert same(diabolo.load(place), former)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_diverged_training_never_replaces_a_finished_run(tmp_path: Path, monkeypatch) -> None:
    from diabolo.train import loop

    place = tmp_path / "run"
    former = diabolo.fit(table(), out=place, **{**SMALL, "epochs": 1})
    real = loop.validate

    def spoiled(*args: Any) -> torch.Tensor:
        return real(*args) * (torch.nan if len(seen) == 2 else 1)

    seen: list[Any] = []
    monkeypatch.setattr(loop, "validate", spoiled)
    tell = lambda e: seen.append(e) if isinstance(e, Row) else None  # noqa: E731
    for name in ("run-diverged", "run-diverged-2"):
        seen.clear()
        with pytest.raises(Diverged) as caught:
            diabolo.fit(table(), out=place, force=True, progress=tell, **SMALL)
        assert caught.value.folder == tmp_path / name
        assert diabolo.load(tmp_path / name).history.stopped == "diverged"
        assert same(diabolo.load(place), former)


@pytest.mark.usefixtures("undrawn")
def test_the_command_line_tells_that_the_former_run_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diabolo.cli import _talk

    place = tmp_path / "run"
    words = ["fit", "digits", "--out", str(place), "--k", "2", "--set", "latent=2"]
    words += ["net=mlp(hidden=(8,))", "data.limit=100", "train.epochs=3"]
    diabolo.fit(table(), out=place, **SMALL)
    before = (place / "weights.safetensors").read_bytes()
    epoch = _talk.Training._epoch

    def interrupt(self: Any, row: Row) -> None:
        epoch(self, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(_talk.Training, "_epoch", interrupt)
    assert main([*words, "--force"]) == 130
    told = capsys.readouterr().err
    assert f"the former run in {place}/ stands" in told
    assert f"diabolo fit --resume {place}" in told
    assert (place / "weights.safetensors").read_bytes() == before


def test_a_place_where_nothing_can_be_made_is_said_to_be_so() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("not installed: a file system that takes no files")
    with pytest.raises(DiaboloError, match="Cannot write to /proc/xx"):
        diabolo.fit(table(), out="/proc/xx", **SMALL)


@pytest.mark.parametrize("how", ["fit", "force", "resume"])
def test_two_trainings_share_no_folder(how: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    told: list[str] = []

    def second(event: Any) -> None:
        if isinstance(event, Row) and event.epoch == 2:
            other = partial(diabolo.resume, place)
            if how != "resume":
                other = partial(diabolo.fit, out=place, force=how == "force", **SMALL)
            with pytest.raises(DiaboloError, match="Another training is writing") as caught:
                other(table())
            told.append(str(caught.value))

    found = diabolo.fit(table(), out=place, progress=second, checkpoint_minutes=1e-9, **SMALL)
    assert len(told) == 1
    assert same(diabolo.load(place), found)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.usefixtures("undrawn")
def test_a_killed_process_is_resumed_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "run"
    words = ["fit", "digits", "--out", str(place), "--k", "2", "--json", "--set", "latent=2"]
    words += ["net=mlp(hidden=(8,))", "data.limit=100", "train.checkpoint_minutes=1e-9"]
    words += ["train.schedule=constant", "train.warmup=0.0"]  # as neither depends on the epochs
    words += ["train.compile=off", "train.precision=float32"]  # a long training would choose others
    began = [sys.executable, "-m", "diabolo", *words, "train.epochs=100000"]
    pipe = subprocess.DEVNULL
    process = subprocess.Popen(began, stdout=pipe, stderr=pipe)
    until = time.monotonic() + 100
    while left_over(place) is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = left_over(place)
    assert left is not None
    epochs = len(load_state(left)["rows"]) + 2
    words.append(f"train.epochs={epochs}")
    assert main(words) == 2
    assert "cut short" in capsys.readouterr().err
    again = ["fit", "--resume", str(place), "--k", "2", "--json", "--set", words[-1]]
    assert main(again) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["epochs"] == epochs
    assert "note: Going on from the checkpoint" in told.err
    options = {"latent": 2, "net": "mlp(hidden=(8,))", "limit": 100, "epochs": epochs}
    whole = diabolo.fit("digits", **options, schedule="constant", warmup=0.0)
    assert same(diabolo.load(place), whole)
    assert main(["fit", "--resume"]) == 2
    assert "fit --resume RUN" in capsys.readouterr().err
