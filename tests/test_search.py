"""A search repeats exactly, loses no trial, does none twice, and keeps the best run."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diabolo
from diabolo.__main__ import main
from diabolo.config import RunConfig
from diabolo.errors import DiaboloError
from diabolo.recipes import RECIPES
from diabolo.signals import Terminated
from diabolo.study import Choice, Range, Search, default_space, parse_space
from diabolo.study import search as searching
from diabolo.study.shared import Shared
from diabolo.train import Row

pytest.importorskip("optuna", reason="optuna is not installed")

SPACE = "latent=1..4, learning_rate=1e-4..1e-1:log"
FIXED: dict[str, Any] = {"net": "mlp(hidden=(8,))", "epochs": 3, "batch_size": 32}


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)


def search(out: Path, **given: Any) -> Search:
    return searching(table(), "vae", out=out, **{"space": SPACE, **FIXED, **given})


def told(found: Search) -> list[Any]:
    return [(t.number, t.state, t.value, t.options, t.seed, t.epochs) for t in found.trials]


def test_a_search_repeats_exactly_and_in_two_goes(tmp_path: Path) -> None:
    one = search(tmp_path / "one", trials=7)
    first = search(tmp_path / "two", trials=4)
    assert len(first.trials) == 4
    two = search(tmp_path / "two", trials=7, resume=True)
    assert told(one) == told(two)
    assert len({str(t.options) for t in one.trials}) == 7


def test_the_best_run_is_kept_and_the_others_weights_are_not(tmp_path: Path) -> None:
    found = search(tmp_path / "s", trials=5, keep=2, pruner="none")
    assert [t.state for t in found.trials] == ["complete"] * 5
    assert found.best.value == max(t.value or 0 for t in found.trials)
    assert {t.number for t in found.trials if t.folder} == {t.number for t in found.complete[:2]}
    run = found.run()
    best = run.history.best
    assert best is not None
    assert best.valid_elbo == found.best.value
    assert run.config.train.seed == found.best.seed
    again = diabolo.fit(table(), "vae", seed=found.best.seed, **{**FIXED, **found.best.options})
    assert [r.valid_elbo for r in again.history.rows] == [r.valid_elbo for r in run.history.rows]
    stored = json.loads((tmp_path / "s" / "search.json").read_text())
    assert stored["result"]["best"] == found.best.number


def test_what_diverged_and_what_failed_is_recorded(tmp_path: Path) -> None:
    space = {"learning_rate": [1e-3, 1e30], "likelihood": ["Normal", "Laplace", "Bernoulli"]}
    given = {"space": space, "clip": None, "trials": 8, "seed": 1, "pruner": "none"}
    found = search(tmp_path / "s", **given)
    for trial in found.trials:
        wanted, note = "complete", ""
        if trial.options["likelihood"] == "Bernoulli":
            wanted, note = "failed", "these data are 'real'"
        elif trial.options["learning_rate"] == 1e30:
            wanted, note = "diverged", "Training diverged"
        assert trial.state == wanted
        assert note in trial.note
        assert (trial.value is None) == (wanted != "complete")
    assert {t.state for t in found.trials} == {"complete", "failed", "diverged"}
    assert len(found.trials) == 8
    assert {t.state for t in found.complete} == {"complete"}


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_search import search
search(Path(sys.argv[1]), trials=int(sys.argv[2]), resume=True, epochs=int(sys.argv[3]))
"""


def worker(tmp_path: Path, out: Path, trials: int, epochs: int) -> subprocess.Popen[bytes]:
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    words = [sys.executable, str(script), str(out), str(trials), str(epochs)]
    return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_two_processes_lose_no_trial_and_do_none_twice(tmp_path: Path) -> None:
    out = tmp_path / "s"
    search(out, trials=1)
    workers = [worker(tmp_path, out, 15, 3) for _ in range(2)]
    assert [w.wait(100) for w in workers] == [0, 0]
    found = search(out, trials=15, resume=True)
    assert [t.number for t in found.trials] == list(range(15))
    assert {t.state for t in found.trials} <= {"complete", "pruned"}
    assert len({str(t.options) for t in found.trials}) == 15


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is not installed")
def test_a_killed_trial_is_done_again(tmp_path: Path) -> None:
    out = tmp_path / "s"
    search(out, trials=1, epochs=400, minutes=1e-9)
    process = worker(tmp_path, out, 2, 400)
    part = out / "trials" / ".001.part"
    for _ in range(1000):
        if part.is_dir():
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert part.is_dir()
    found = search(out, trials=2, resume=True, epochs=400)
    assert [t.state for t in found.trials] == ["complete", "killed", "complete"]
    assert found.trials[1].options == found.trials[2].options
    assert found.trials[2].note == "trial 1 again"
    assert found.trials[2].seed == found.trials[1].seed == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_trial_goes_on_from_its_checkpoint(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in order, or ended as a kill does, with what was written before."""
    given = {"trials": 2, "epochs": 5, "checkpoint_minutes": 1e-9, "pruner": "none"}
    whole = search(tmp_path / "whole", **given)
    module = sys.modules["diabolo.study.folder"]
    out = tmp_path / "s"

    def stopping(data: Any, recipe: Any, *, progress: Any, **options: Any) -> Any:
        def stop(event: Any) -> None:
            progress(event)
            if isinstance(event, Row) and event.epoch == 3 and options["train.seed"] == 1:
                raise error

        return diabolo.fit(data, recipe, progress=stop, **options)

    record = Shared.tell
    with monkeypatch.context() as patched, contextlib.suppress(SystemExit):
        patched.setattr(module, "fit", stopping)
        if error is SystemExit:  # a process that was killed records nothing
            patched.setattr(
                Shared, "tell", lambda s, t, state, *r: state == "failed" or record(s, t, state, *r)
            )
        search(out, **given)
    rows: list[int] = []
    going = diabolo.resume

    def resuming(*args: Any, progress: Any, **options: Any) -> Any:
        def listen(event: Any) -> None:
            rows.extend([event.epoch] if isinstance(event, Row) else [])
            progress(event)

        return going(*args, progress=listen, **options)

    monkeypatch.setattr(module, "resume", resuming)
    found = search(out, resume=True, **given)
    # The state after 2 epochs is written before the third ends; an interrupt writes one itself.
    assert rows == ([4, 5] if error is KeyboardInterrupt else [3, 4, 5])
    last = found.trials[2]
    again = whole.trials[1]
    assert (last.state, last.note) == ("complete", "trial 1 again")
    assert (last.value, last.seed, last.epochs) == (again.value, again.seed, again.epochs)
    assert found.trials[1].folder is None
    assert not [p for p in (out / "trials").iterdir() if p.name.endswith(".part")]


def test_a_damaged_checkpoint_lets_a_trial_begin_anew(tmp_path: Path) -> None:
    out = tmp_path / "s"
    given = {"trials": 1, "epochs": 2, "pruner": "none"}
    search(out, **{**given, "trials": 1})
    left = out / "trials" / ".001.part" / "checkpoint"
    left.mkdir(parents=True)
    (left / "state.pt").write_bytes(b"no state")
    said: list[Any] = []
    found = search(out, resume=True, progress=said.append, **{**given, "trials": 2})
    assert [t.state for t in found.trials] == ["complete", "complete"]
    assert any(isinstance(s, str) and s.endswith("It begins anew.") for s in said)


@pytest.mark.usefixtures("undrawn")
def test_the_printed_command_repeats_the_best_trial(tmp_path: Path) -> None:
    for name, rows in (("x", table()), ("v", table()[:30] + 1), ("t", table()[:20] - 1)):
        np.save(tmp_path / f"{name}.npy", rows)
    names = {"valid": str(tmp_path / "v.npy"), "test": str(tmp_path / "t.npy")}
    given = {"space": SPACE, **FIXED, **names}
    found = searching(str(tmp_path / "x.npy"), "vae", out=tmp_path / "s", trials=2, **given)
    words = shlex.split(found.command)
    assert words[:2] == ["diabolo", "fit"]
    assert main([*words[1:], "--out", str(tmp_path / "again"), "--k", "2"]) == 0
    run = diabolo.load(tmp_path / "again")
    assert run.history.best is not None
    assert run.history.best.valid_elbo == found.best.value
    for option in names:
        assert run.prints[option]["sha256"] == found.run().prints[option]["sha256"]


def test_the_command_prints_a_narrow_table_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", table())
    words = ["search", str(tmp_path / "x.npy"), "vae", "--out", str(tmp_path / "s")]
    words += ["--trials", "2", "--set", "epochs=1", "--space", "latent=1..4", "net=none|mlp"]
    words += ["learning_rate=1e-4..1e-1:log", "batch_size=32|64"]
    assert main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    rows = [line for line in shown if " complete " in line]
    assert len(rows) == 2
    assert max(map(len, shown[: shown.index(rows[-1]) + 1])) <= 80
    assert main([*words, "--resume", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stopped"] == "trials"
    assert [t["state"] for t in told["trials"]] == ["complete"] * 2
    assert told["value"] == max(t["value"] for t in told["trials"])


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "option": ({"space": "lattent=8..9"}, "Did you mean 'latent'"),
    "data": ({"space": "size=8..9"}, "changes the data"),
    "seed": ({"space": "seed=1..9"}, "luck"),
    "epochs": ({"space": "epochs=1..9"}, "every trial may spend"),
    "type": ({"space": "latent=1.5..2.5"}, "Option 'latent' of recipe 'vae'"),
    "range": ({"space": "latent=9..8"}, "lower to a higher"),
    "log": ({"space": "warmup=0..0.5:log"}, "no logarithm"),
    "scale": ({"space": "latent=1..9:lin"}, "low..high:log"),
    "one": ({"space": "latent=8"}, "two different choices"),
    "form": ({"space": "latent"}, "written as"),
    "twice": ({"space": ["latent=1..2", "latent=2..3"]}, "twice"),
    "both": ({"space": "epochs=1|2", "epochs": 3}, "cannot be searched"),
    "fixed": ({"latent": 3}, "both given and searched"),
    "given seed": ({"train.seed": 3}, "say seed="),
    "trials": ({"trials": 0}, "trials is a whole number of 1"),
    "nothing": ({"resume": True}, "leave resume out"),
    "track": ({"track": "csv"}, "leave track out"),
    "recipe option": ({"latnet": 3}, "Did you mean 'latent'"),
}


@pytest.mark.parametrize(("given", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_before_the_first_trial(
    tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DiaboloError, match=sentence) as caught:
        search(tmp_path / "s", **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_another_search_is_not_gone_on_with(tmp_path: Path) -> None:
    search(tmp_path / "s", trials=1)
    with pytest.raises(DiaboloError, match="holds a search already"):
        search(tmp_path / "s", trials=1)
    with pytest.raises(DiaboloError, match="began with space="):
        search(tmp_path / "s", trials=1, resume=True, space="latent=1..5")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(DiaboloError, match="no search"):
        search(tmp_path / "other", resume=True)


@pytest.mark.parametrize("other", ["valid", "test", "train"])
def test_a_search_goes_on_with_the_same_data_only(other: str, tmp_path: Path) -> None:
    """All of them are "memory": numbers of two data would be compared."""
    train, out = table(), tmp_path / "s"
    held: dict[str, Any] = {"valid": 2 * train[:20], "test": 3 * train[:20]}
    given: dict[str, Any] = {"space": SPACE, **FIXED, "epochs": 1}
    searching(train[20:], "vae", out=out, trials=1, **held, **given)
    data = train[20:]
    if other == "train":
        data = 4 * data
    else:
        held[other] = train[20:40]
    with pytest.raises(DiaboloError, match=f"This search began with {other}=.* cannot go on with"):
        searching(data, "vae", out=out, trials=2, resume=True, **held, **given)
    assert not (out / "trials" / "001").exists()


def test_a_space_is_read_as_it_is_written() -> None:
    text = "latent=8..128:log,learning_rate=1e-4..3e-3:log,net=mlp(hidden=(8,8))|none"
    found = parse_space(text)
    assert found["latent"] == Range(8, 128, log=True)
    assert found["net"] == Choice(("mlp(hidden=(8,8))", None))
    assert parse_space({n: str(d) for n, d in found.items()}) == found
    assert not Range(1, 3).holds(True)


@pytest.mark.parametrize("recipe", RECIPES.names())
def test_every_recipe_has_a_space_that_holds_its_defaults(recipe: str) -> None:
    found = default_space(RunConfig(recipe=recipe), RECIPES.load(recipe), set())
    assert found["learning_rate"].holds(1e-3)
    assert found["batch_size"].holds(128)
    assert ("latent" in found) != (recipe in ("ae", "denoising_ae"))
    assert {"beta", "k", "warmup"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyboardInterrupt, 130), (Terminated, 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_ends_the_command_with_its_code(
    error: type[BaseException], words: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = signal.SIGTERM if error is Terminated else signal.SIGINT
    module = sys.modules["diabolo.study.folder"]

    def stopping(data: Any, recipe: Any, *, progress: Any, **options: Any) -> Any:
        def stop(event: Any) -> None:
            progress(event)
            if isinstance(event, Row):
                signal.raise_signal(number)

        return diabolo.fit(data, recipe, progress=stop, **options)

    np.save(tmp_path / "x.npy", table())
    monkeypatch.setattr(module, "fit", stopping)
    own = ["--space", "latent=1..4", "--set", "epochs=9", "net=mlp(hidden=(8,))"]
    own += ["--trials", "3", "--out", str(tmp_path / "s"), "--json"]
    # The rehearsal tells no row, so that the first signal comes in the first trial.
    assert main(["search", str(tmp_path / "x.npy"), *own]) == words
    found = json.loads((tmp_path / "s" / "search.json").read_text())["result"]
    assert found["stopped"] == ("terminate" if words == 143 else "interrupt")
    assert found["trials"][0]["state"] == "interrupted"


def interrupted(out: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """Leaves the second trial interrupted after two epochs, with its weights and its state."""

    def stopping(data: Any, recipe: Any, *, progress: Any, **options: Any) -> Any:
        def stop(event: Any) -> None:
            progress(event)
            if isinstance(event, Row) and event.epoch == 2 and options["train.seed"] == 1:
                raise KeyboardInterrupt

        return diabolo.fit(data, recipe, progress=stop, **options)

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["diabolo.study.folder"], "fit", stopping)
        search(out, **given)
    assert (out / "trials" / "001" / "checkpoint" / "state.pt").is_file()


def test_a_resumed_trial_fails_and_keeps_its_sound_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s"
    given = {"trials": 2, "epochs": 4, "pruner": "none"}
    interrupted(out, monkeypatch, **given)

    def full(*_: Any, **__: Any) -> Any:
        raise DiaboloError("The disk is full.")

    monkeypatch.setattr(sys.modules["diabolo.study.folder"], "resume", full)
    found = search(out, resume=True, **given)
    assert [t.state for t in found.trials] == ["complete", "interrupted", "failed"]
    assert found.trials[2].note == "The disk is full."
    assert (out / "trials" / "002" / "checkpoint" / "state.pt").is_file()


def test_a_pruned_trial_leaves_nothing_that_it_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s"
    given = {"trials": 2, "epochs": 4, "pruner": "none"}
    interrupted(out, monkeypatch, **given)
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: True)
    found = search(out, resume=True, **given)
    assert [t.state for t in found.trials] == ["complete", "interrupted", "pruned"]
    assert [p.name for p in (out / "trials").iterdir() if p.is_dir()] == ["000"]
