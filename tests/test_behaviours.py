"""What is asked of codes, measured where the answer is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import hoyer, jacobian_norm, probe_accuracy
from laws import bounds, recipes

EXACT = 1e-10  # float64, sums of products of order one


@pytest.fixture(autouse=True)
def _doubles():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def linear(name: str, weight: torch.Tensor):
    """A recipe for 6 numbers and 2 latents whose encoder multiplies by a matrix."""
    encoder = bounds.Linear(weight, torch.zeros(len(weight)))
    return bounds.linear_gaussian(torch.randn(6, 2), torch.zeros(6), 1.0, encoder, name=name)


def test_sparseness_has_its_ends():
    assert hoyer(torch.eye(5)).tolist() == pytest.approx([1.0] * 5)
    assert hoyer(torch.tensor([[2.0, 2.0], [-3.0, 3.0]])).tolist() == pytest.approx([0.0, 0.0])
    # (sqrt 4 - (3 + 4) / 5) / (sqrt 4 - 1)
    assert hoyer(torch.tensor([[3.0, 0.0, -4.0, 0.0]])).item() == pytest.approx(0.6)
    assert hoyer(torch.zeros(1, 3)).isnan().item()
    with pytest.raises(DiaboloError, match="D >= 2"):
        hoyer(torch.ones(3, 1))


def test_jacobian_norm_of_a_linear_encoder_is_that_of_its_weights():
    weight = torch.randn(2, 6)
    recipe = linear("ae", weight)
    found = jacobian_norm(recipe.model, Data(torch.randn(70, 6)))
    assert torch.allclose(found, torch.linalg.matrix_norm(weight).expand(70), atol=EXACT)
    recipe = linear("vae", torch.cat([weight, torch.zeros(2, 6)]))
    found = jacobian_norm(recipe.model, Data(torch.randn(3, 6)))
    assert torch.allclose(found, torch.linalg.matrix_norm(weight).expand(3), atol=EXACT)


@pytest.mark.parametrize("name", ["vae", "ladder", "cvae"])
@pytest.mark.parametrize("missing", [False, True])
def test_jacobian_norm_is_that_of_finite_differences(name, missing):
    """By x, so that a mask which the encoder reads too has no part, nor have unseen entries."""
    case = recipes.case(name, support="real", dtype=torch.float64, missing=missing)
    model = case.build().model.eval()
    mask = torch.rand(case.x.shape) < 0.6 if missing else None
    data = Data(case.x, c=case.c, mask=mask)
    squares = torch.zeros(len(case.x))
    for step in 1e-5 * torch.eye(6):
        up, down = (model.encode(case.x + s, case.c, mask=mask)[0] for s in (step, -step))
        squares = squares + ((up - down) / 2e-5).square().sum(1)
    assert torch.allclose(jacobian_norm(model, data), squares.sqrt(), rtol=1e-6)


def test_a_probe_reads_labels_from_codes_and_noise_blinds_it():
    recipe = linear("ae", torch.eye(2, 6))
    labels = torch.arange(200) % 2
    x = torch.zeros(200, 6)
    x[:, 0] = 2.0 * labels - 1
    data = Data(x, labels=labels)
    assert probe_accuracy(recipe.model, data, data) == 1.0
    noisy = probe_accuracy(recipe.model, data, data, noise=2.0)
    # The sign of 1 + 2 e is right with probability Phi(1/2) = 0.691.
    assert noisy == pytest.approx(0.6915, abs=4 * math.sqrt(0.6915 * 0.3085 / 200))
    with pytest.raises(DiaboloError, match="have none"):
        probe_accuracy(recipe.model, Data(x), data)


def test_the_committed_figures_show_what_is_said_of_each():
    """By more than three standard deviations of the starts: benchmarks/behaviours.py."""
    file = Path(__file__).parents[1] / "docs" / "results" / "behaviours.json"
    rows = json.loads(file.read_text())["rows"]

    def lead(name: str, one: dict, other: dict) -> float:
        error = math.hypot(one[f"{name}_std"], other[f"{name}_std"])
        return (one[name] - other[name]) / error

    plain, wide = (r for r in rows if r["recipe"] == "ae")
    for row in rows:
        if row["recipe"] == "sparse_ae":
            assert lead("hoyer", row, wide) > 3
        if row["recipe"] in ("contractive_ae", "denoising_ae"):
            assert lead("jacobian_over_spread", plain, row) > 3
            assert row["accuracy_0.4"] > plain["accuracy_0.4"]
    (denoising,) = (r for r in rows if r["recipe"] == "denoising_ae")
    assert lead("accuracy_0.4", denoising, plain) > 2
