r"""The Poisson density of counts, from the logarithm of its rate.

.. math:: \log p(x) = x \log r - r - \log x!

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family

__all__ = ["Poisson", "PoissonFamily"]


@dataclass(frozen=True, eq=False)
class Poisson(Distribution):
    """Independent counts.

    Arguments:
        log_rate: The logarithm of the mean, (*, *E).
        event_ndim: The number of axes of E.
    """

    log_rate: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each count, in nats."""
        return x * self.log_rate - self.log_rate.exp() - torch.lgamma(x + 1)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns counts, as floats, by bisection of the distribution function."""
        with torch.no_grad():
            u = noise.uniform((*shape, *self.log_rate.shape), self.log_rate)
            rate = self.mean.expand_as(u)
            low = torch.full_like(u, -1.0)  # P(X <= low) <= u < P(X <= high)
            high = torch.ceil(rate + 12 * rate.sqrt() + 30)
            while bool((high - low > 1).any()):
                middle = torch.floor((low + high) / 2)
                # P(X <= j) is the regularised upper incomplete gamma function at (j + 1, rate).
                below = torch.special.gammaincc(middle + 1, rate) <= u
                low = torch.where(below, middle, low)
                high = torch.where(below, high, middle)
            return high

    def kl_elements(self, other: Poisson) -> Tensor:
        """Returns KL of each element."""
        ratio = self.log_rate - other.log_rate
        return self.mean * ratio - self.mean + other.mean

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()


class PoissonFamily(Family):
    """Counts from the logarithm of their rate."""

    supports = frozenset({"count"})

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> Poisson:
        """Returns the density."""
        return Poisson(raw.select(-event_ndim - 1, 0), event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the logarithm of the mean, kept above 0.001."""
        return mean.clamp(min=1e-3).log()[None]
