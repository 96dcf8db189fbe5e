"""A search repeats exactly, loses no trial, does none twice, and keeps the best run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diabolo
from diabolo.config import RunConfig
from diabolo.errors import DiaboloError
from diabolo.recipes import RECIPES
from diabolo.study import Choice, Range, Search, default_space, parse_space
from diabolo.study import search as searching

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
    states = {t.state for t in found.trials}
    assert "complete" in states
    assert states - {"complete"} <= {"diverged", "failed"}
    for trial in found.trials:
        if trial.options["likelihood"] == "Bernoulli":
            assert trial.state == "failed"
            assert "these data are 'real'" in trial.note
    assert len(found.trials) == 8


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
