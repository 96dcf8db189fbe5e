"""The judge of labels: its figures repeat, and it reads data as the run does."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import diabolo

PLACE = Path(__file__).parents[1] / "benchmarks" / "label_fidelity.py"
SMALL: dict[str, Any] = {"epochs": 2, "latent": 4, "net": "mlp(hidden=(16,))"}


def measured(run: diabolo.Run, seed: int) -> dict[str, Any]:
    found = importlib.util.spec_from_file_location("label_fidelity", PLACE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    loaded = diabolo.data.load("digits", run.config.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the judge may not have converged
        return module.fidelity(
            run, loaded, per_label=20, judge_images=300, test_images=100, seed=seed
        )


@pytest.mark.parametrize("binarize", ["no", "threshold"])
def test_figures_repeat_and_follow_the_runs_own_reading(binarize: str) -> None:
    run = diabolo.fit("digits", "cvae", condition="labels", binarize=binarize, **SMALL)
    torch.manual_seed(1)
    first = measured(run, 0)
    torch.manual_seed(2)  # what the caller did with the generator has no influence
    assert measured(run, 0) == first
    assert measured(run, 1) != first
    assert first["run"]["binarize"] == binarize
    assert first["samples"] == 200
    assert first["judge_accuracy_on_test"] > 0.5  # ten digits: by chance a tenth
