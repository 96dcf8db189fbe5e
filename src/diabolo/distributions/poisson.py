r"""The Poisson density of counts, from the logarithm of its rate.

.. math:: \log p(x) = x \log r - r - \log x!

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from ._gamma import poisson_quantile
from .base import Distribution, Family
from .exposure import Counts, Exposure

__all__ = ["Poisson", "PoissonFamily"]


@dataclass(frozen=True, eq=False)
class Poisson(Counts):
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
            return poisson_quantile(u, self.mean.expand_as(u)).to(u.dtype)

    def kl_elements(self, other: Poisson) -> Tensor:
        """Returns KL of each element."""
        ratio = self.log_rate - other.log_rate
        return self.mean * ratio - self.mean + other.mean

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()


class PoissonFamily(Family):
    """Counts from the logarithm of their rate, or of their share of the total of a datum.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        exposure: `one`, the same for all data, or `total`: counts are scored given the total of
            their datum, so that the number is log p(x | total), see `exposure`.
    """

    supports = frozenset({"count"})
    apart = True

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        exposure: Literal["one", "total"] = "one",
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.exposure = Exposure("Poisson", exposure)
        self.given = self.exposure.given

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the mean datum."""
        self.exposure.prepare(mean)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Distribution:
        """Returns the density."""
        return self.exposure(Poisson(raw.select(-event_ndim - 1, 0), event_ndim))

    def start(self, mean: Tensor) -> Tensor:
        """Returns the logarithm of the mean, kept above 0.001."""
        return mean.clamp(min=1e-3).log()[None]
