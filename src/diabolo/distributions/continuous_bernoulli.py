r"""The continuous Bernoulli density on [0, 1], from logits.

.. math::
    \log p(x) = x \lambda - A(\lambda), \qquad
    A(\lambda) = \log \frac{e^\lambda - 1}{\lambda}
    = \tfrac12 \lambda + \log \frac{\sinh(\lambda / 2)}{\lambda / 2}

The even part of A is a Taylor series near 0, where the closed form cancels.

References:
    | The continuous Bernoulli (Loaiza-Ganem & Cunningham, 2019), eq. 7 to 9
    | https://arxiv.org/abs/1907.06845

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from ._solve import where_rising
from .base import Distribution, Family

__all__ = ["ContinuousBernoulli", "ContinuousBernoulliFamily"]

NEAR = 0.5  # |lambda| below which the series is used: its rest is below 1e-16 there
# log(sinh(h/2) / (h/2)) = sum_n B_2n h^2n / (2n (2n)!), with the Bernoulli numbers B.
SERIES = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000)


def _split(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns where the series holds, |lambda| made safe for the closed form, and for the series.

    The double `where`: each branch sees only numbers at which its gradient is finite.
    """
    size = logits.abs()
    near = size < NEAR
    return near, torch.where(near, 1.0, size), torch.where(near, logits, 0.0)


def _series(square: Tensor, coefficients: list[float]) -> Tensor:
    """Returns sum_n coefficients[n] square^n by Horner's rule."""
    value = torch.full_like(square, coefficients[-1])
    for a in reversed(coefficients[:-1]):
        value = value * square + a
    return value


@dataclass(frozen=True, eq=False)
class ContinuousBernoulli(Distribution):
    """Independent numbers in [0, 1] with exponential densities.

    Arguments:
        logits: lambda, the slope of the log-density, (*, *E).
        event_ndim: The number of axes of E.
    """

    logits: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        return (x - 0.5) * self.logits - self._even()

    def _even(self) -> Tensor:
        """Returns A(lambda) - lambda / 2."""
        near, far, small = _split(self.logits)
        closed = 0.5 * far + torch.log(-torch.expm1(-far)) - torch.log(far)
        square = small * small
        return torch.where(near, square * _series(square, list(SERIES)), closed)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples by the inverse of the distribution function."""
        logits = self.logits
        u = noise.uniform((*shape, *logits.shape), logits)
        size = logits.abs()
        near = size < torch.finfo(u.dtype).eps ** 0.25
        far, small = torch.where(near, 1.0, size), torch.where(near, logits, 0.0)
        # For lambda < 0; p(x; lambda) = p(1 - x; -lambda) gives the rest.
        v = torch.where(logits < 0, u, 1 - u)
        closed = -torch.log1p(v * torch.expm1(-far)) / far
        closed = torch.where(logits < 0, closed, 1 - closed)
        series = u + small * u * (1 - u) * (0.5 + small * (1 - 2 * u) / 6)
        return torch.where(near, series, closed).clamp(0.0, 1.0)

    def kl_elements(self, other: ContinuousBernoulli) -> Tensor:
        """Returns KL of each element, by the exponential family's formula."""
        difference = self.logits - other.logits
        return difference * (self.mean - 0.5) - self._even() + other._even()

    @property
    def mean(self) -> Tensor:
        """The mean, the first derivative of A."""
        near, far, small = _split(self.logits)
        closed = self.logits.sign() * (0.5 / torch.tanh(0.5 * far) - 1 / far)
        slopes = [2 * (n + 1) * a for n, a in enumerate(SERIES)]
        return 0.5 + torch.where(near, small * _series(small * small, slopes), closed)

    @property
    def variance(self) -> Tensor:
        """The variance, the second derivative of A."""
        near, far, small = _split(self.logits)
        tail = torch.exp(-far)
        closed = 1 / (far * far) - tail / torch.expm1(-far).square()
        curves = [2 * (n + 1) * (2 * n + 1) * a for n, a in enumerate(SERIES)]
        return torch.where(near, _series(small * small, curves), closed)


class ContinuousBernoulliFamily(Family):
    """Numbers in [0, 1] from the slope of their log-density."""

    supports = frozenset({"unit"})
    apart = True

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> ContinuousBernoulli:
        """Returns the density."""
        return ContinuousBernoulli(raw.select(-event_ndim - 1, 0), event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the slope with the data's mean, kept within [0.02, 0.98], by bisection."""

        def found(logits: Tensor) -> Tensor:
            return ContinuousBernoulli(logits, mean.ndim).mean

        return where_rising(found, mean.clamp(0.02, 0.98), -60.0, 60.0)[None]
