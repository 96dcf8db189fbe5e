r"""The Bernoulli density of bits, from logits.

.. math:: \log p(x) = x \lambda - \log(1 + e^{\lambda})
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from ..noise import FRESH, Noise
from .base import Distribution, Family

__all__ = ["Bernoulli", "BernoulliFamily"]

FACTORS = 16  # of one product; each is at most 2, so that none overflows


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

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-probability of the bits in nats, with shape (*).

        In a graph without gradients, which has no temporaries, one logarithm serves for many bits:
        sum log(1 + e^-abs(l)) = log prod(1 + e^-abs(l)), exact to the type's epsilon in each bit.
        """
        if torch.is_grad_enabled() or get_proxy_mode() is None or not self.event_ndim:
            return super().log_prob(x, mask)
        logits = self.logits
        if mask is not None:
            x, logits = torch.where(mask, x, 0.0), torch.where(mask, logits, 0.0)
        linear = (x * logits - logits.clamp(min=0)).flatten(-self.event_ndim)
        small = torch.exp(-logits.abs())
        if mask is not None:
            small = torch.where(mask, small, 0.0)
        factors = (1 + small).flatten(-self.event_ndim)
        whole = factors.shape[-1] // FACTORS * FACTORS
        products = factors[..., :whole].unflatten(-1, (FACTORS, -1)).prod(-2)
        rest = factors[..., whole:].prod(-1).log()
        return linear.sum(-1) - products.log().sum(-1) - rest

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
    apart = True

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> Bernoulli:
        """Returns the density."""
        return Bernoulli(raw.select(-event_ndim - 1, 0), event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the log-odds of the mean, kept away from certainty."""
        return torch.logit(mean.clamp(1e-3, 1 - 1e-3))[None]
