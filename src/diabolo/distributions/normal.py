"""The normal density, with its scale learned by element, shared, fixed, or optimal.

.. math:: \\log p(x) = -\\tfrac12 (x - \\mu)^2 / \\sigma^2 - \\log \\sigma - \\tfrac12 \\log 2\\pi
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family

__all__ = ["Normal", "NormalFamily"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """Independent normal elements.

    Arguments:
        loc: The mean, (*, *E).
        log_scale: The logarithm of the standard deviation, of a shape that broadcasts to `loc`'s.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        standard = (x - self.loc) * torch.exp(-self.log_scale)
        return -0.5 * standard * standard - self.log_scale - HALF_LOG_2PI

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns `loc` + scale * noise (Kingma & Welling, 2014, section 2.4)."""
        return self.loc + self.log_scale.exp() * noise.normal((*shape, *self.loc.shape), self.loc)

    def kl_elements(self, other: Normal) -> Tensor:
        """Returns KL of each element (Kingma & Welling, 2014, appendix B, for any two normals)."""
        ratio = self.log_scale - other.log_scale
        shift = (self.loc - other.loc) * torch.exp(-other.log_scale)
        return 0.5 * (torch.exp(2 * ratio) + shift * shift - 1) - ratio

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return torch.exp(2 * self.log_scale).expand_as(self.loc)


class NormalFamily(Family):
    """Normal elements whose scale is learned for each element, shared, fixed or optimal.

    Arguments:
        levels: Unused: the support has no levels.
        scale: `element` (a network output), `shared` (one learned number), or a fixed number.
        floor: The smallest standard deviation of a learned scale.
    """

    supports = frozenset({"real", "positive", "unit"})

    def __init__(
        self, *, levels: int | None = None, scale: str | float = "element", floor: float = 1e-3
    ) -> None:
        super().__init__(levels=levels)
        self.scale, self.floor = scale, floor

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the scale is learned for each element, else 1."""
        return 2 if self.scale == "element" else 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> Normal:
        """Returns the density; the raw scale is its logarithm, kept above the floor."""
        loc = raw.select(-event_ndim - 1, 0)
        log_scale = raw.select(-event_ndim - 1, 1).clamp(min=math.log(self.floor))
        return Normal(loc, log_scale, event_ndim)
