"""The running scale of averaged weights is theirs, and that of training goes on undisturbed."""

from __future__ import annotations

import torch

from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.distributions.normal import settle
from diabolo.model import Recipe
from diabolo.recipes import build
from diabolo.train import fit
from diabolo.train.settle import settled

CONFIG = TrainConfig(
    epochs=4, batch_size=32, learning_rate=3e-2, ema=0.95, compile="off", device="cpu"
)


def data(seed: int = 0) -> Data:
    """Sixteen numbers that follow two, with noise of a tenth."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(256, 2, generator=generator)
    x = z.repeat(1, 8) + 0.1 * torch.randn(256, 16, generator=generator)
    return Data(x, index=torch.arange(256) + 1000 * seed)


def make(likelihood: str = "Normal(scale=optimal)") -> Recipe:
    torch.manual_seed(0)
    spec = data().spec(standardize=True)
    return build("vae", spec, latent=2, net="mlp(hidden=(16,))", likelihood=likelihood)


def error(recipe: Recipe) -> float:
    """The root mean square error of one sample a datum, in units of the data's deviations."""
    torch.manual_seed(0)
    batch = data().batch(torch.arange(256))
    with torch.no_grad():
        apart = recipe.model(batch.x).px.mean[0] - batch.x
    return float((apart / data().spec(standardize=True).scale).square().mean().sqrt())


def test_the_scale_of_averaged_weights_is_theirs() -> None:
    recipe = make()
    fit(recipe, data(), data(1), CONFIG)
    scale = float(settle(recipe.model.likelihood.family.base.running).exp())
    # That of training lies at 4 times the error. Two estimates by 512 independent latents each
    # differ by 0.04 (a standard error).
    assert abs(scale / error(recipe) - 1) < 0.2


def test_training_keeps_what_it_gathered() -> None:
    recipe = make()
    fit(recipe, data(), data(1), CONFIG)
    running = recipe.model.likelihood.family.base.running
    running.copy_(torch.tensor([0.25, 0.5]))
    with settled(recipe, data(), 0, 32):
        first = running.clone()
        assert not recipe.model.likelihood.family.training
    assert running.tolist() == [0.25, 0.5]
    assert not torch.allclose(first, running)
    with settled(recipe, data(), 0, 32):
        assert torch.equal(first, running)  # a function of weights, data and seed


def test_a_likelihood_that_gathers_nothing_is_left_alone() -> None:
    recipe = make("Normal(scale=shared)")
    recipe.model.latent = None  # a pass would fail
    with settled(recipe, data(), 0, 32):
        assert recipe.model.likelihood.family.forget() is None
