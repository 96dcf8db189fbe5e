"""Processes that are started anew go on with their training by themselves."""

from __future__ import annotations

import importlib
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import diabolo
from diabolo import ranks
from diabolo.cli import _launch
from diabolo.cli._ends import lost
from diabolo.cli._launch import launch
from diabolo.errors import DiaboloError
from diabolo.train import Row
from diabolo.train.settings import other_bits

SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "epochs": 5, "batch_size": 16}
OFTEN: dict[str, Any] = {"checkpoint_minutes": 1e-9}


class Killed(Exception):
    """Stands for whatever ends a process in the middle of its work."""


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def die(event: Any) -> None:
    if isinstance(event, Row) and event.epoch == 3:
        raise Killed


def result(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds")  # the clock
    return load_file(folder / "weights.safetensors"), rows


def same(one: Path, other: Path) -> bool:
    (a, rows), (b, others) = result(one), result(other)
    return rows == others and a.keys() == b.keys() and all(a[k].equal(b[k]) for k in a)


def restart(monkeypatch: pytest.MonkeyPatch, count: int = 1, launch: str = "one") -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(count))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", launch)


@pytest.mark.parametrize("force", [False, True])
def test_a_new_start_goes_on_by_itself(tmp_path: Path, monkeypatch, force: bool) -> None:
    diabolo.fit(table(), out=tmp_path / "whole", **SMALL, **OFTEN)
    if force:  # another run is there, which is to be replaced
        diabolo.fit(table(), out=tmp_path / "a", **SMALL, seed=9)
    restart(monkeypatch, 0)
    with pytest.raises(Killed):
        diabolo.fit(table(), out=tmp_path / "a", force=force, progress=die, **SMALL, **OFTEN)
    restart(monkeypatch)
    told: list[Any] = []
    options = {**SMALL, **OFTEN}
    diabolo.fit(table(), out=tmp_path / "a", force=force, progress=told.append, **options)
    assert same(tmp_path / "whole", tmp_path / "a")
    words = [t for t in told if isinstance(t, str)]
    assert sum("A process was lost: all go on" in t for t in words) == 1
    assert [t.epoch for t in told if isinstance(t, Row)] == [3, 4, 5]


def test_a_new_start_after_the_end_takes_the_run(tmp_path: Path, monkeypatch) -> None:
    restart(monkeypatch, 0)
    diabolo.fit(table(), out=tmp_path / "a", **SMALL)
    restart(monkeypatch)
    told: list[Any] = []
    run = diabolo.fit(table(), out=tmp_path / "a", progress=told.append, **SMALL)
    assert run.folder == tmp_path / "a"
    assert told == []
    assert diabolo.resume(tmp_path / "a").folder == tmp_path / "a"


def test_a_new_start_does_not_go_on_with_what_another_launch_left(tmp_path, monkeypatch) -> None:
    restart(monkeypatch, 0, "former")
    with pytest.raises(Killed):
        diabolo.fit(table(), out=tmp_path / "a", progress=die, **SMALL, **OFTEN, seed=9)
    restart(monkeypatch)  # lost before its first state
    diabolo.fit(table(), out=tmp_path / "a", force=True, **SMALL)
    diabolo.fit(table(), out=tmp_path / "whole", **SMALL)
    assert same(tmp_path / "whole", tmp_path / "a")


def test_the_same_launch_goes_on_though_the_agent_has_not_counted(tmp_path, monkeypatch) -> None:
    restart(monkeypatch, 0)
    with pytest.raises(Killed):
        diabolo.fit(table(), out=tmp_path / "a", progress=die, **SMALL, **OFTEN)
    restart(monkeypatch, 0, "none")  # an agent without a name for its launches
    with pytest.raises(DiaboloError, match="cut short"):
        diabolo.fit(table(), out=tmp_path / "a", **SMALL, **OFTEN)
    restart(monkeypatch, 0)
    assert len(diabolo.fit(table(), out=tmp_path / "a", **SMALL, **OFTEN).history.rows) == 5


def test_a_former_run_is_no_training_of_ours(tmp_path: Path, monkeypatch) -> None:
    diabolo.fit(table(), out=tmp_path / "a", **SMALL)
    restart(monkeypatch, 0)
    with pytest.raises(DiaboloError, match="force"):
        diabolo.fit(table(), out=tmp_path / "a", **SMALL)


def test_a_lost_process_is_known_by_the_error_behind_the_error(monkeypatch) -> None:
    gloo = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed")
    behind = KeyboardInterrupt()
    behind.__context__ = gloo
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert lost(gloo)
    assert lost(behind)
    assert lost(torch.distributed.DistNetworkError("gone"))
    assert not lost(KeyboardInterrupt())
    assert not lost(RuntimeError("a fault"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not lost(gloo)


def test_another_number_of_processes_is_told() -> None:
    here = {"device": "cpu", "threads": 1}
    two = {**here, "processes": 2}
    assert "processes was 2 and is 1" in str(other_bits(two, here))
    assert "processes was 1 and is 2" in str(other_bits(here, two))
    assert other_bits(two, two) is other_bits(here, here) is None


def test_each_process_of_a_machine_takes_its_device(monkeypatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)

    def stop(*args: Any, **options: Any) -> None:
        raise Killed

    # torch.distributed has a function of the module's name
    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", stop)
    here = {"RANK": "6", "WORLD_SIZE": "8", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in {**here, "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Killed), ranks.joined():
        pass
    assert taken == [2]


@pytest.mark.parametrize(("shared", "names"), [("False", 1), ("True", 2)])
def test_hosts_that_count_starts_differently_meet(monkeypatch, shared: str, names: int) -> None:
    """A host that is back counts no start; only an agent's own store outlives one."""
    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", found)
    here = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in {**here, "TORCHELASTIC_USE_AGENT_STORE": shared}.items():
        monkeypatch.setenv(name, value)
    told: set[str] = set()

    def name_of(name: str, store: Any) -> None:
        told.add(name)
        raise Killed

    monkeypatch.setattr(torch.distributed, "PrefixStore", name_of)
    for count in (0, 1):
        restart(monkeypatch, count)
        monkeypatch.setattr(ranks, "_groups", itertools.count())
        with pytest.raises(Killed), ranks.joined():
            pass
    assert len(told) == names


def found(*args: Any, **options: Any) -> Any:
    """Stands for the rendezvous of torch."""
    return iter([(None, 0, 2)])


def workers(process: int) -> list[int]:
    """Returns the spawned processes of a process, by rank (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = path.with_name("cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if parent == process and (b"spawn_main" in words or b"script.py" in words):
            found.append(int(path.parent.name))
    return sorted(found)


def lose_one(command: list[str], folder: Path, number: int) -> str:
    """Runs a command and kills one worker when training has begun; returns what was said."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        state = folder / ".a.part" / "checkpoint" / "state.pt"
        until = time.monotonic() + 120
        while not state.exists():
            assert process.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(workers(process.pid)[number], signal.SIGKILL)
        assert process.wait(300) == 0, (folder / "said").read_text()
    return (folder / "said").read_text()


TINY = ("latent=2", "net=mlp(hidden=(8,))", "train.epochs=12")


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_worker_changes_no_bit(tmp_path: Path, number: int) -> None:
    own = [sys.executable, "-m", "diabolo", "fit", "digits", "--devices", "2", "--k", "2"]
    own += ["--set", *TINY, "train.checkpoint_minutes=1e-9", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*own, "whole"]
    subprocess.run(whole, cwd=tmp_path, env=environment, check=True, capture_output=True)
    said = lose_one([*own, "a"], tmp_path, number)
    assert said.count("A process was lost: all go on from the checkpoint (start 2)") == 1
    assert "nothing was written" not in said
    assert same(tmp_path / "whole", tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "said", "whole"]


def test_the_agent_tells_nothing_in_its_own_words() -> None:
    """At Ctrl-C its server warns of a death signal; its modules set their levels themselves."""
    module = importlib.import_module("torch.distributed.elastic.agent.server.api")
    before = {
        name: logging.getLogger(name).level
        for name in [*logging.root.manager.loggerDict, "torch.multiprocessing"]
    }
    assert module.logger.isEnabledFor(logging.WARNING)
    _launch._hush()
    assert not module.logger.isEnabledFor(logging.ERROR)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_torchrun_needs_no_devices(monkeypatch) -> None:
    restart(monkeypatch, 0)
    assert launch(1, lambda code: code, 7) == 7
    with pytest.raises(DiaboloError, match="leave --devices out"):
        launch(2, lambda: 0)


SCRIPT = """
import diabolo
diabolo.fit("digits", out="a", latent=2, net="mlp(hidden=(8,))", epochs=12, progress=print,
            checkpoint_minutes=1e-9)
"""


@pytest.mark.slow
def test_a_script_under_torchrun_goes_on_by_itself(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "--max-restarts", "2", "script.py"]
    said = lose_one(torchrun, tmp_path, 1)
    assert said.count("A process was lost") == 1
    assert len(result(tmp_path / "a")[1]) == 12
