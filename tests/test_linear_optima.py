"""Linear models reach, through recipes and objectives, the optima that theory gives.

The data have exactly the covariance diag(lambda), turned, so that no sampling error enters:
N = 64 rows in 6 dimensions. Expectations over q are exact (`bounds.cubature`).

References:
    | Don't Blame the ELBO! (Lucas et al., 2019), https://arxiv.org/abs/1911.02469
    | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999)
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.model import Recipe
from diabolo.objectives import elbo, terms
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.train import fit
from laws import bounds as laws

SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1], dtype=torch.float64)
CENTRE = torch.tensor([0.5, -1.0, 0.0, 2.0, 0.3, -0.2], dtype=torch.float64)


@cache
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """x (64, 6) whose covariance is exactly turned diag(SPECTRUM), and the turn's columns."""
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    white = white - white.mean(0)
    white = torch.linalg.qr(white).Q * math.sqrt(64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    return white * SPECTRUM.sqrt() @ turn.T + CENTRE, turn


def linear(name: str, *, latent: int = 6, **options: object) -> Recipe:
    """A recipe whose networks are linear, at random weights."""
    torch.manual_seed(0)

    def net(inputs: int, outputs: int, constant: int = 0) -> laws.Linear:
        return laws.Linear(
            0.3 * torch.randn(outputs, inputs, dtype=torch.float64),
            torch.zeros(outputs, dtype=torch.float64),
            constant=torch.zeros(constant, dtype=torch.float64) if constant else None,
        )

    recipe = build(
        name,
        Spec(event=(6,), support="real"),
        latent=latent,
        net=net(6, latent, 0 if name == "ae" else latent),
        decoder=net(latent, 6),
        **options,
    )
    recipe.model.double()
    return recipe


def climb(recipe: Recipe) -> Recipe:
    """Maximises the recipe's own objective over all rows, its expectation taken exactly."""
    x, _ = data()
    k, noise = laws.cubature(recipe.model.groups[0])
    optimizer = torch.optim.LBFGS(
        recipe.model.parameters(),
        max_iter=600,
        history_size=30,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -recipe.objective(recipe.model(x, k=k, noise=noise)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return recipe


def exact(recipe: Recipe) -> tuple[float, float]:
    """The mean rate and the mean ELBO, without sampling error."""
    x, _ = data()
    k, noise = laws.cubature(recipe.model.groups[0])
    with torch.no_grad():
        parts = terms(elbo, recipe.model(x, k=k, noise=noise))
    return parts.rate.sum(0).mean().item(), parts.value.mean().item()


def exact_squares(recipe: Recipe) -> float:
    """The mean squared error of a sampled code's reconstruction, summed over x."""
    x, _ = data()
    k, noise = laws.cubature(recipe.model.groups[0])
    with torch.no_grad():
        t = recipe.model(x, k=k, noise=noise)
    return (x - t.px.mean).square().sum(-1).mean().item()


@pytest.mark.oracle(6)
@pytest.mark.parametrize(
    ("theta", "units", "rate", "distortion"),
    [
        (0.05, 6, 7.8359042742, 0.3),
        (0.2, 5, 4.0235947811, 1.1),
        (0.6, 3, 1.8059592065, 2.65),
        (1.5, 2, 0.6342556627, 4.85),
    ],
)
def test_linear_beta_vae_traces_reverse_water_filling(theta, units, rate, distortion):
    """theta = beta sigma^2: D = min(lambda, theta), R = log(lambda / theta) / 2 where positive.

    The aggregate posterior of each active unit has variance 1, hence equals the prior.
    """
    recipe = climb(linear("beta_vae", likelihood="Normal(scale=0.5)", beta=theta / 0.25))
    found, _ = exact(recipe)
    x, _ = data()
    mean, variance = recipe.model.encode(x)
    active = mean.var(0, correction=0) > 0.01
    assert int(active.sum()) == units
    assert found == pytest.approx(rate, abs=1e-2)
    assert exact_squares(recipe) == pytest.approx(distortion, abs=1e-2)
    aggregate = torch.cov(mean.T, correction=0) + variance.mean(0).diag()
    assert torch.allclose(aggregate, torch.eye(6, dtype=torch.float64), atol=2e-2)
    lengths = torch.linalg.svdvals(recipe.model.likelihood.net.weight.detach()).square()
    assert torch.allclose(lengths, (SPECTRUM - theta).clamp(min=0), atol=1e-2)  # w^2
    told = variance[:, active].sort().values
    wanted = (theta / SPECTRUM[:units]).expand_as(told)  # sigma_q^2, the same for each datum
    assert torch.allclose(told, wanted, atol=1e-2)
    # I(x; z) of a normal q whose aggregate is N(0, 1) is the rate itself
    assert -0.5 * told.log().sum(1).mean().item() == pytest.approx(rate, abs=2e-2)


def is_probabilistic_pca(recipe: Recipe) -> None:
    """The ELBO is the maximal likelihood; W, sigma and the active units are those of the theory."""
    x, turn = data()
    noise = SPECTRUM[3:].mean()  # the mean discarded eigenvalue
    covariance = turn @ torch.diag(torch.cat([SPECTRUM[:3], noise.expand(3)])) @ turn.T
    best = torch.distributions.MultivariateNormal(CENTRE, covariance).log_prob(x).mean().item()
    _, found = exact(recipe)
    assert best - 1e-2 <= found <= best + 1e-9  # a bound cannot exceed the maximum
    t = recipe.model(x)
    assert t.px.variance.mean().item() == pytest.approx(noise.item(), rel=2e-2)
    weight = recipe.model.likelihood.net.weight.detach()
    cosines = torch.linalg.svdvals(torch.linalg.qr(weight).Q.T @ turn[:, :3])
    assert cosines.min().item() > 0.995  # W spans the leading eigenvectors
    # Each direction of W has length^2 lambda - sigma^2.
    lengths = torch.linalg.svdvals(weight).square()
    assert torch.allclose(lengths, SPECTRUM[:3] - noise, rtol=5e-2)
    mean, _ = recipe.model.encode(x)
    assert int((mean.var(0) > 0.01).sum()) == 3  # all three lie above the noise


@pytest.mark.oracle(22)
def test_linear_vae_is_probabilistic_pca():
    is_probabilistic_pca(climb(linear("vae", latent=3, likelihood="Normal(scale=shared)")))


@pytest.mark.oracle(22)
@pytest.mark.slow
def test_linear_vae_trained_by_the_loop_is_probabilistic_pca():
    """The same, reached by stochastic steps and real noise, from `fit`."""
    recipe = linear("vae", latent=3, likelihood="Normal(scale=shared)")
    x, _ = data()
    config = TrainConfig(
        epochs=60,
        batch_size=640,
        learning_rate=1e-2,
        schedule="cosine",
        device="cpu",
        compile="off",
    )
    # Many copies for validation: with few, selection would fit their noise.
    fit(recipe, Data(x.repeat(500, 1), "real"), Data(x.repeat(200, 1), "real"), config)
    is_probabilistic_pca(recipe)


@pytest.mark.oracle(16)
def test_free_rate_gives_pca_and_dear_rate_gives_the_mean():
    """beta -> 0: reconstructions are those of PCA. beta -> infinity: the code is empty."""
    x, turn = data()
    centred = x - CENTRE
    top = centred @ turn[:, :2] @ turn[:, :2].T + CENTRE
    free = climb(linear("beta_vae", latent=2, likelihood="Normal(scale=0.5)", beta=1e-6))
    mean, variance = free.model.encode(x)
    found = free.model.decode(mean).mean
    assert (found - top).square().sum(-1).mean().item() < 1e-2
    assert (variance / mean.var(0)).max().item() < 1e-2  # codes become points
    dear = climb(linear("beta_vae", latent=2, likelihood="Normal(scale=0.5)", beta=1e3))
    rate, _ = exact(dear)
    assert rate < 1e-3
    empty = dear.model.decode(dear.model.encode(x)[0]).mean
    assert (empty - CENTRE).abs().max().item() < 3e-2


@pytest.mark.oracle(28)
def test_linear_autoencoder_is_pca():
    """Its squared error is the sum of the discarded eigenvalues."""
    x, _ = data()
    recipe = climb(linear("ae", latent=2, likelihood="Normal(scale=1.0)"))
    mean = recipe.model.decode(recipe.model.encode(x)[0]).mean
    error = (x - mean).square().sum(-1).mean().item()
    assert error == pytest.approx(SPECTRUM[2:].sum().item(), abs=1e-3)
