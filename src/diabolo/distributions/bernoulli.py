r"""The Bernoulli density of bits, from logits.

.. math:: \log p(x) = x \lambda - \log(1 + e^{\lambda})
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family

__all__ = ["Bernoulli", "BernoulliFamily"]


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """Independent bits.

    Arguments:
        logits: The log-odds of a one, (*, *E).
        event_ndim: The number of axes of E.
    """

    logits: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each bit, in nats."""
        return x * self.logits - F.softplus(self.logits)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns bits, as floats."""
        with torch.no_grad():
            uniform = noise.uniform((*shape, *self.logits.shape), self.logits)
            return (uniform < self.mean).to(self.logits.dtype)

    def kl_elements(self, other: Bernoulli) -> Tensor:
        """Returns KL of each bit."""
        p = self.mean
        return p * (self.logits - other.logits) - F.softplus(self.logits) + F.softplus(other.logits)

    @property
    def mean(self) -> Tensor:
        """The probability of a one."""
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.mean * (1 - self.mean)


class BernoulliFamily(Family):
    """Bits from their log-odds."""

    supports = frozenset({"binary"})

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> Bernoulli:
        """Returns the density."""
        return Bernoulli(raw.select(-event_ndim - 1, 0), event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the log-odds of the mean, kept away from certainty."""
        return torch.logit(mean.clamp(1e-3, 1 - 1e-3))[None]
