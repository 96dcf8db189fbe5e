"""Likelihoods of two models of which everything is known: the ring, and one dimension.

Shapes: N data or points, Q nodes of a quadrature.

References:
    | Tutorial on Variational Autoencoders (Doersch, 2016), figure 2 and appendix A
    | https://arxiv.org/abs/1606.05908
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.special import log_ndtr, ndtr, ndtri

from diabolo.data import Data
from diabolo.distributions import Normal, family
from diabolo.evaluate import exact
from diabolo.latents import Amortized
from diabolo.model import Conditional, LatentModel
from diabolo.noise import KeyedNoise
from diabolo.priors import PRIORS
from diabolo.spec import Spec
from diabolo.views import View
from laws.bounds import Points
from laws.evaluation import F64, tensor

HALF = 0.5 * math.log(2 * math.pi)


class Function(nn.Module):
    """A network that is a formula, with a parameter that says its type and device."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function, self.idle = function, nn.Parameter(torch.zeros((), dtype=F64))

    def forward(self, x: Tensor, c: Tensor | None = None) -> object:
        return self.function(x)


def model_of(size: int, f: Callable, q: Callable, sigma: float) -> LatentModel:
    """z ~ N(0, I), x ~ N(f(z), sigma^2 I) of as many elements, and q(z | x)."""
    spec = Spec(event=(size,))
    prior = PRIORS.build("normal", size, posterior=Function(q), spec=spec)
    px = Conditional(Function(f), family(f"Normal(scale={sigma!r})"), (size,))
    return LatentModel(View((size,)), Amortized(Function(q), prior, size), px).double().eval()


# -- the ring ------------------------------------------------------------------------------------

MEAN, SPREAD, ENTROPY = 1.1253314137, 0.0655136378, 0.5937420450


def outward(z: Tensor) -> Tensor:
    """The ring of the notes, z / 10 + z / |z|."""
    return z / 10 + nn.functional.normalize(z, dim=-1)


def around(z: Tensor) -> Tensor:
    """The same ring from one number for the angle and one for the radius, without a jump.

    |z| of two normal numbers is Rayleigh: sqrt(-2 log(1 - u)) of a uniform u.
    """
    angle, radius = 2 * math.pi * ndtr(z[..., 0]), 1 + (-2 * log_ndtr(-z[..., 1])).sqrt() / 10
    return radius[..., None] * torch.stack([angle.cos(), angle.sin()], -1)


def ring(sigma: float, f: Callable = outward) -> LatentModel:
    """x ~ N(f(z), sigma^2 I), with the prior as q."""
    zero = torch.zeros(2, dtype=F64)
    return model_of(2, f, lambda x: Normal(zero.expand_as(x), zero), sigma)


@pytest.mark.oracle(18)
def test_ring_has_its_density_radius_and_entropy() -> None:
    """By the change of variables, with the determinant from autograd.

    p(x) = 100 (r - 1) exp(-50 (r - 1)^2) / (2 pi r) at r = |x| > 1.
    """
    model = ring(0.1)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(1000))
    z = torch.zeros(1000, 2, dtype=F64)
    z[:, 0] = 6 * (nodes + 1)  # |z| up to 12, beyond which 1e-31 of the mass lies

    def g(z: Tensor) -> Tensor:
        return model.decode(z[None]).mean[0]

    jacobian = torch.func.vmap(torch.func.jacrev(g))(z)
    with torch.no_grad():
        log_p = model.latent.prior().log_prob(z) - torch.linalg.slogdet(jacobian)[1]
        r = model.decode(z).mean.norm(dim=-1)
    away = r - 1
    expected = (100 * away).log() - 50 * away**2 - (2 * math.pi * r).log()
    torch.testing.assert_close(log_p, expected, atol=1e-9, rtol=0)
    mass = 2 * math.pi * r * log_p.exp() * weights * 6 * 0.1  # dr = 6 / 10 d node
    # The logarithm's cusp at |z| = 0 costs the rule 1e-9; ten digits are stated.
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    assert float((mass * r).sum()) == pytest.approx(MEAN, abs=1e-9)
    assert math.sqrt(float((mass * (r - MEAN) ** 2).sum())) == pytest.approx(SPREAD, abs=1e-9)
    assert -float((mass * log_p).sum()) == pytest.approx(ENTROPY, abs=1e-8)


@pytest.mark.oracle(18)
@pytest.mark.parametrize("f", [outward, around])
def test_samples_of_the_ring_have_its_radius(f: Callable) -> None:
    n, model = 40_000, ring(0.1, f)
    noise = KeyedNoise(0, torch.arange(n), lead=1)
    with torch.no_grad():
        r = model.decode(model.latent.sample(n, None, noise)).mean.norm(dim=-1)
    assert abs(float(r.mean()) - MEAN) < 4 * SPREAD / math.sqrt(n)
    # A Rayleigh number has the kurtosis 3.245, which gives its standard deviation this error.
    error = SPREAD * math.sqrt((3.245 - 1) / (4 * n))
    assert abs(float(r.std()) - SPREAD) < 4 * error


@pytest.mark.oracle(18)
def test_both_rings_have_one_density() -> None:
    """Outside, where the jump of the first at z = 0 has no part, both integrals settle."""
    x = Data(tensor([[-1.2, 0.0], [-1.4, 0.0]]))
    found = [exact(ring(0.1, f), x, tolerance=1e-3).per_datum for f in (outward, around)]
    torch.testing.assert_close(*found, atol=2e-3, rtol=0)  # each is exact to 1e-3


@pytest.mark.oracle(18)
@pytest.mark.parametrize(
    ("sigma", "entropy"),
    [
        (0.1, 1.24572),
        (0.05, 0.86767),
        pytest.param(0.02, 0.65949, marks=pytest.mark.slow),
        pytest.param(0.01, 0.61389, marks=pytest.mark.slow),
    ],
)
def test_a_blurred_ring_has_its_entropy(sigma: float, entropy: float) -> None:
    """-E log p(x), with p(x) by quadrature over z and the mean over the radius of x.

    All angles are alike; at that of z = 2 the angle moves slowly with z, and the grid is wide.
    """
    r = torch.arange(1 - 5 * sigma, 1.6 + 5 * sigma, sigma, dtype=F64)
    angle = 2 * math.pi * ndtr(tensor(2.0))
    x = r[:, None] * torch.stack([angle.cos(), angle.sin()])
    log_p = exact(ring(sigma, around), Data(x)).per_datum
    mass = (
        log_p.exp() * 2 * math.pi * r * sigma
    )  # the trapezoid rule of a density that is this smooth
    # The likelihood is exact to 1e-4 nats, the statement to half of its last digit.
    assert float(mass.sum()) == pytest.approx(1, abs=1e-4)
    assert -float((mass * log_p).sum()) == pytest.approx(entropy, abs=1e-4 + 5e-6)


# -- one dimension without approximation error ---------------------------------------------------


def two_bumps(x: Tensor) -> Tensor:
    """The logarithm of the distribution function of two normal bumps, at -2 and 2."""
    return torch.logaddexp(log_ndtr(x + 2), log_ndtr(x - 2)) - math.log(2)


def solve(z: Tensor) -> Tensor:
    """The x at which two bumps have the distribution function of N(0, 1) at z, by halving."""
    goal = log_ndtr(-z.abs())
    low, high = torch.full_like(z, -120.0), torch.zeros_like(z)
    for _ in range(60):
        middle = (low + high) / 2
        above = two_bumps(middle) > goal
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return -z.sign() * (low + high) / 2


def log_bumps(x: Tensor) -> Tensor:
    away = torch.logaddexp(-0.5 * (x + 2) ** 2, -0.5 * (x - 2) ** 2)
    return away - math.log(2) - HALF


# f = F^-1(Phi(z)), F, log of the density, the points of the table, and the table: the mean of
# KL(q || posterior) and of |log p_sigma - log p| at each sigma.
TARGETS = {
    "logistic": (
        lambda z: log_ndtr(z) - log_ndtr(-z),
        torch.sigmoid,
        lambda x: -x - 2 * nn.functional.softplus(-x),
        [-3.0, -1, 0, 1, 3],
        {
            0.2: ("1.001e-2", "9.210e-3"),
            0.1: ("2.510e-3", "2.314e-3"),
            0.05: ("6.280e-4", "5.791e-4"),
            0.02: ("1.005e-4", "9.27e-5"),
        },
    ),
    "normal": (
        lambda z: z,
        ndtr,
        lambda x: -0.5 * x**2 - HALF,
        [-2.0, -1, 0, 1, 2],
        {
            0.2: ("3.885e-2", "2.700e-2"),
            0.1: ("9.926e-3", "6.936e-3"),
            0.05: ("2.495e-3", "1.746e-3"),
            0.02: ("3.999e-4", "2.799e-4"),
        },
    ),
    "two bumps": (
        solve,
        lambda x: two_bumps(x).exp(),
        log_bumps,
        [-3.0, -2, -0.5, 0, 1, 2],
        {
            0.2: ("3.182e-2", "2.207e-2"),
            0.1: ("7.677e-3", "5.665e-3"),
            0.05: ("1.888e-3", "1.426e-3"),
            0.02: ("3.003e-4", "2.286e-4"),
        },
    ),
}


def errors(name: str, sigma: float) -> tuple[Tensor, Tensor]:
    """KL(q || posterior) and log p_sigma - log p of each point, (N,)."""
    f, cdf, log_p, points, _ = TARGETS[name]

    def q(x: Tensor) -> Normal:
        """N(g(x), (g'(x) sigma)^2), where g is the inverse of f and g' = p / phi(g)."""
        g = ndtri(cdf(x))
        return Normal(g, log_p(x) + 0.5 * g**2 + HALF + math.log(sigma))

    model, x = model_of(1, f, q, sigma), tensor(points)[:, None]
    nodes, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(40))
    with torch.no_grad():
        t = model(x, k=40, noise=Points(nodes[:, None, None]))
    elbo = (weight[:, None] / weight.sum() * t.log_weight).sum(0)
    log_px = exact(model, Data(x), tolerance=1e-9).per_datum
    return log_px - elbo, log_px - log_p(x[:, 0])


@pytest.mark.oracle(19)
@pytest.mark.parametrize("name", TARGETS)
def test_errors_of_the_appendix_fall_with_the_square_of_sigma(name: str) -> None:
    table = TARGETS[name][-1]
    means = []
    for sigma, stated in table.items():
        gap, off = errors(name, sigma)
        means.append((float(gap.mean()), float(off.abs().mean())))
        for found, digits in zip(means[-1], stated, strict=True):
            unit = 10.0 ** Decimal(digits).as_tuple().exponent  # of the last digit that is stated
            assert found == pytest.approx(float(digits), abs=0.51 * unit + 1e-9), (sigma, digits)
        if name == "normal":
            s, x = sigma**2, tensor(TARGETS[name][3])
            closed = 0.5 * (s + x**2 * s / (1 + s) - math.log1p(s))
            torch.testing.assert_close(gap, closed, atol=2e-9, rtol=0)
    for before, after in zip(means[-2], means[-1], strict=True):
        assert math.log(before / after) / math.log(0.05 / 0.02) == pytest.approx(2, abs=0.02)
