"""The step between values of real data: found, told, kept with a run, and not to be profited from.

Shapes: N rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diabolo
from diabolo.data import Data
from diabolo.recipes import build

RNG = np.random.default_rng(0)
N = 200
SMALL: dict[str, Any] = {
    "net": "mlp(hidden=(8,))",
    "latent": 2,
    "epochs": 2,
    "likelihood": "Normal(scale=element)",
}


def columns() -> np.ndarray:
    """Whole numbers, halves, two decimals, and a continuous column, all about 0 with SD 2."""
    z = 2 * RNG.normal(size=(N, 4))
    return np.stack([z[:, 0].round(), (2 * z[:, 1]).round() / 2, z[:, 2].round(2), z[:, 3]], 1)


def test_the_step_is_the_least_between_values_that_come_again() -> None:
    found = Data(torch.from_numpy(columns()).float()).resolution()
    assert found is not None
    # Differences of float32 numbers below 10, each rounded to 2^-21 at most.
    torch.testing.assert_close(found, torch.tensor([1, 0.5, 0.01, 0]), rtol=0, atol=1e-6)


def test_values_that_never_come_again_have_no_step() -> None:
    """However few rows there are, and however far they lie apart."""
    assert Data(torch.tensor([[0.0], [1.0], [3.0]])).resolution() is None


def test_unseen_entries_and_rounding_are_no_steps() -> None:
    x = torch.tensor([[0.0, 0.1], [torch.nan, 0.3], [2.0, 0.1 + 1e-8], [2.0, 0.3]])
    x[3, 1] = torch.nextafter(x[1, 1], torch.tensor(1.0))
    seen = x.isfinite()
    found = Data(torch.where(seen, x, 0.5), mask=seen).resolution()
    assert found is not None
    torch.testing.assert_close(found, torch.tensor([2.0, 0.2]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", [1000, 5_000])
def test_steps_of_many_rows_and_of_images(rows: int) -> None:
    x = torch.randint(0, 9, (rows, 2, 30, 30)).float() * 0.25
    found = Data(x).resolution()
    assert found is not None
    assert torch.equal(found, torch.full((2, 30, 30), 0.25))


def test_bits_levels_and_dequantised_levels_have_none() -> None:
    x = RNG.integers(0, 17, (N, 4)) / 16
    for options in ({}, {"dequantize": True}, {"binarize": "dynamic"}):
        loaded = diabolo.data.load(x, diabolo.DataConfig(**options))
        assert loaded.splits.train.resolution() is None


def test_the_columns_with_a_wider_floor_are_told() -> None:
    run = diabolo.fit(columns(), **SMALL)
    (note,) = [n for n in run.notes if "steps" in n]
    assert note.startswith("Columns 0, 1, 2 take values in steps: the scale of Normal is kept")
    others = {"likelihood": "Normal(scale=0.5)"}, {"likelihood": "Normal(floor=0.001)"}
    for other in others:
        run = diabolo.fit(columns(), **{**SMALL, **other})
        assert not [n for n in run.notes if "steps" in n]


@pytest.mark.parametrize("likelihood", ["Normal(scale=element)", "Laplace(scale=column)"])
def test_a_loaded_run_has_the_same_floor_and_numbers(likelihood: str, tmp_path: Path) -> None:
    x = columns()
    run = diabolo.fit(x, out=tmp_path / "run", **{**SMALL, "likelihood": likelihood})
    again = diabolo.load(tmp_path / "run")
    family = run.model.likelihood.family
    assert torch.equal(again.model.likelihood.family.stepped, family.stepped)
    with torch.no_grad():
        for model in (run.model, again.model):  # all scales at their floor
            net = model.likelihood.net
            for p in [*net.parameters(), *model.likelihood.family.parameters()]:
                p.fill_(-20.0) if p.ndim < 2 else p.zero_()
    np.testing.assert_array_equal(again.score(x[:20], k=2), run.score(x[:20], k=2))


def test_a_column_of_few_whole_numbers_is_no_source_of_nats() -> None:
    """A column that z can foretell exactly: its density gains 0.33 nats of a sure value at most.

    With a floor of 1e-3 standard deviations it goes on to gain, 5 nats here.
    """
    torch.manual_seed(0)
    x = torch.randint(0, 2, (512, 1)).repeat(1, 3).float() * 2 - 1  # one bit, three times
    data = Data(torch.cat([x, -x], 1))
    recipe = build("ae", data.spec(standardize=True), latent=1, net="mlp(hidden=(16,))",
                   likelihood="Normal(scale=element)")  # fmt: skip
    optimizer = torch.optim.Adam(recipe.model.parameters(), 0.02)
    for _ in range(150):
        batch = data.batch(torch.randperm(512)[:64])
        loss = -recipe.model(batch.x).log_px.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gain = float(-loss.detach()) / 6 + np.log(2.0)  # a step is 2: a sure value has density 1/2
    assert -0.5 < gain < 0.33
