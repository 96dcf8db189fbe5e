"""Every job is done on another device than the processor, with the same numbers.

The device is pretended (`laws.elsewhere`); a real one is compared in `test_evaluate`.

Shapes: N data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import diabolo
from diabolo.evaluate import diagnosis as diagnoses
from diabolo.explore import Scene
from diabolo.run import Run
from kinds import table
from laws.elsewhere import NAME, elsewhere
from test_explore import ask, given
from test_reports import FEW

N = 60
SMALL = {"net": "mlp(hidden=(8,))", "epochs": 2, "batch_size": 16, "valid": 12}
LABELS = [("left", "right")[i % 2] for i in range(N)]


def pictures() -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 60, (N, 8, 8))
    x[np.arange(N), np.arange(N) % 8] += 190
    return x.astype(np.uint8)


def holed() -> pd.DataFrame:
    found = table(N)
    return found.mask(np.random.default_rng(1).random(found.shape) < 0.1)


def bits() -> np.ndarray:
    return (pictures() > 100).astype(np.uint8)


LATENT = {"latent": 3}
CLASS = {"labels": LABELS, "condition": "labels"}
MADE: dict[str, Callable[[], Run]] = {
    "pictures": lambda: diabolo.fit(pictures(), labels=LABELS, **LATENT, **SMALL),
    "convolutions": lambda: diabolo.fit(bits(), **LATENT, **{**SMALL, "net": "conv"}),
    "class": lambda: diabolo.fit(pictures(), "cvae", **CLASS, **LATENT, **SMALL),
    "point": lambda: diabolo.fit(pictures(), "ae", **LATENT, **SMALL),
    "groups": lambda: diabolo.fit(bits(), "hierarchical", **SMALL),
    "names": lambda: diabolo.fit(bits(), "discrete_vae", **SMALL),
    "flow": lambda: diabolo.fit(bits(), prior="flow(transforms=2)", **LATENT, **SMALL),
    "table": lambda: diabolo.fit(holed(), "beta_vae", **LATENT, **SMALL),
    "by column": lambda: diabolo.fit(table(N), "cvae", condition="kind", **LATENT, **SMALL),
}
every = pytest.mark.parametrize("kind", MADE)


@pytest.fixture(scope="module")
def made() -> Callable[[str], Run]:
    """Each kind's run, trained on the pretended device."""
    runs: dict[str, Run] = {}

    def get(kind: str) -> Run:
        if kind not in runs:
            with elsewhere():
                runs[kind] = MADE[kind]()
        return runs[kind]

    return get


def jobs(run: Run) -> dict[str, Any]:
    """What is asked of a run, as numbers or as the sentence that refuses."""
    x = run.data("valid")
    few = x.take(torch.arange(5))
    asked: dict[str, Callable[[], Any]] = {
        "sample": lambda: run.sample(4, seed=1),
        "encode": lambda: run.encode(few),
        "decode": lambda: run.decode(run.encode(few)),
        "reconstruct": lambda: run.reconstruct(few),
        "traverse": lambda: run.traverse(few.take(torch.arange(1)), steps=3),
        "score": lambda: run.score(few),
        "classify": lambda: run.classify(few),
        "evaluate": lambda: run.evaluate(few, k=5).to_json(),
        "anomalies": lambda: (
            diabolo.anomalies(run, few, attribution=run.data("valid").x.ndim == 2).scores
        ),
        "impute": lambda: diabolo.impute(run, few).data,
        "synthesize": lambda: diabolo.synthesize(run, 6).data,
    }
    found = {}
    for name, job in asked.items():
        try:
            found[name] = job()
        except diabolo.DiaboloError as error:
            found[name] = str(error)
    return found


def flat(found: Any) -> list[Any]:
    """Numbers and words of what was found, one after the other."""
    if isinstance(found, pd.DataFrame):
        return flat(found.to_numpy().tolist())
    if isinstance(found, np.ndarray):
        return flat(found.tolist())
    if isinstance(found, dict):
        return flat(list(found.values()))
    if isinstance(found, list | tuple):
        return [part for each in found for part in flat(each)]
    return [found]


@every
def test_jobs_have_the_same_numbers_on_another_device(
    kind: str, made: Callable[[str], Run]
) -> None:
    with elsewhere():
        run = made(kind)
        assert run.device.type == NAME
        there = jobs(run)
        here = jobs(run.to("cpu"))
        run.to(NAME)
    assert here.keys() == there.keys()
    for name, wanted in here.items():
        assert len(flat(wanted)) > 0
        assert [str(v) for v in flat(there[name])] == [str(v) for v in flat(wanted)], name


@every
def test_the_explorer_answers_on_another_device(kind: str, made: Callable[[str], Run]) -> None:
    with elsewhere():
        scene = Scene(made(kind))
        scene.work()
        arrays = scene.document(live=True)["arrays"]
        assert all(len(scene.array(name)) for name in arrays)
        spread = ask(scene, "decode", {"z": scene.codes[:2]}, sd=True, **given(scene))
        assert spread.arrays["mean"].shape == (2, *scene.items.shape)
        assert np.isfinite(ask(scene, "row", index=2).facts["distortion"])
        if scene.can(True).get("sample", True) is True:
            drawn = ask(scene, "sample", n=2, **given(scene))
            assert drawn.arrays["z"].shape == (2, scene.run.latent)


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_a_report_is_made_on_another_device(
    kind: str, made: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in FEW.items():
        monkeypatch.setattr(diagnoses, name, few)
    with elsewhere():
        page = diabolo.report(made(kind))
    assert page.html.count("<figure") > 10
