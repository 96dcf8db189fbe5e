r"""Gamma functions without cancellation, and random numbers made of them.

.. math::
    R(x, a) = \log \frac{\Gamma(a + x)}{\Gamma(a) \, a^x}
    = \Big(x + a - \tfrac12\Big) \log\Big(1 + \frac x a\Big) - x + \rho(x + a) - \rho(a),

where rho(z) is the rest of Stirling's formula for log Gamma(z). For whole x it is the sum of
log(1 + i / a) over i < x; it goes to 0 as a goes to infinity, in which a negative binomial density
becomes Poisson's, a beta-binomial one binomial, and Student's t (at x = 1/2) normal.

References:
    | A Simple Method for Generating Gamma Variables (Marsaglia & Tsang, 2000)
    | https://doi.org/10.1145/358407.358414
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..noise import Noise

__all__ = ["kept", "log_gamma_draws", "log_rising", "poisson_quantile", "within"]

NEAR = 8.0  # below this rho is taken from log Gamma itself, where nothing cancels
SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)  # of odd powers of 1/z
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
ROUNDS = 8  # of rejection, each of which accepts 95 % or more: 0.05^8 is 4e-11
MOST = 1e15  # whole numbers up to this are exact in double precision


def kept(log_a: Tensor) -> Tensor:
    """Returns log a, kept where quotients and squares of a and moderate numbers are floats.

    That is -60 to 60 in float32, in which a function of a is at its limit there, and -480 to 480
    in float64.
    """
    far = 0.677 * math.log(torch.finfo(log_a.dtype).max)
    return log_a.clamp(-far, far)


def within(log_a: Tensor) -> Tensor:
    """Returns a, kept as its logarithm is."""
    return kept(log_a).exp()


def _rest(z: Tensor) -> Tensor:
    """Returns log Gamma(z) less (z - 1/2) log z - z + log(2 pi) / 2, for z > 0."""
    near = z < NEAR
    low, high = torch.where(near, z, 1.0), torch.where(near, NEAR, z)
    direct = torch.lgamma(low) - (low - 0.5) * low.log() + low - HALF_LOG_2PI
    inverse = 1 / high
    square = inverse * inverse
    value = torch.full_like(square, SERIES[-1])
    for a in reversed(SERIES[:-1]):
        value = value * square + a
    return torch.where(near, direct, inverse * value)


def log_rising(x: Tensor | float, log_a: Tensor) -> Tensor:
    """Returns R(x, a) for x >= 0 and the logarithm of a."""
    a = within(log_a)
    y = x + a
    return (y - 0.5) * torch.log1p(x / a) - x + _rest(y) - _rest(a)


def log_gamma_draws(shape: tuple[int, ...], log_a: Tensor, noise: Noise) -> Tensor:
    """Returns the logarithms of gamma variables of these shape parameters, of scale 1, float64.

    A variable of shape a + 1 times u^(1/a) has the shape a. The number of draws of noise is fixed,
    so that keyed noise stays with its row.

    Arguments:
        shape: The shape of the draws, to which `log_a` broadcasts.
        log_a: The logarithms of the shape parameters.
        noise: Where random numbers come from.
    """
    a = within(log_a.double()).expand(shape)
    d = a + 2 / 3
    c = (9 * d).rsqrt()
    found = torch.ones_like(a)
    done = torch.zeros_like(a, dtype=torch.bool)
    for _ in range(ROUNDS):
        n = noise.normal(shape, a)
        log_u = torch.log1p(-noise.uniform(shape, a))  # of a number in (0, 1]
        v = (1 + c * n) ** 3
        log_v = v.clamp(min=1e-300).log()
        good = (v > 0) & (log_u < 0.5 * n * n + d * (1 - v + log_v))
        found = torch.where(done | (v <= 0), found, v)
        done = done | good
    return d.log() + found.log() + torch.log1p(-noise.uniform(shape, a)) / a


def poisson_quantile(u: Tensor, rate: Tensor) -> Tensor:
    """Returns the least counts at which the distribution function exceeds u, by bisection, float64.

    Arguments:
        u: Numbers in [0, 1).
        rate: Means of the same shape; those beyond 1e15 are taken as that.
    """
    u, rate = u.double(), rate.double().clamp(max=MOST)
    low = torch.full_like(u, -1.0)  # P(X <= low) <= u < P(X <= high)
    high = torch.ceil(rate + 12 * rate.sqrt() + 30)
    while bool((high - low > 1).any()):
        middle = torch.floor((low + high) / 2)
        # P(X <= j) is the regularised upper incomplete gamma function at (j + 1, rate).
        below = torch.special.gammaincc(middle + 1, rate) <= u
        low = torch.where(below, middle, low)
        high = torch.where(below, high, middle)
    return high
