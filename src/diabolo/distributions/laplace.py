r"""The Laplace density, with its scale learned by element or column, shared or fixed.

.. math:: \log p(x) = -|x - \mu| / b - \log 2b

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from ._location_scale import LocationScale
from .base import Distribution
from .scales import Scale

__all__ = ["Laplace", "LaplaceFamily"]


@dataclass(frozen=True, eq=False)
class Laplace(Distribution):
    """Independent Laplace elements.

    Arguments:
        loc: The mean, (*, *E).
        log_scale: log b, of a shape that broadcasts to `loc`'s.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        return -(x - self.loc).abs() * torch.exp(-self.log_scale) - self.log_scale - math.log(2)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples by the inverse of the distribution function."""
        u = noise.uniform((*shape, *self.loc.shape), self.loc) - 0.5
        # A uniform number of exactly 0 would be sent to minus infinity.
        tail = torch.log1p(-2 * u.abs().clamp(max=0.5 * (1 - torch.finfo(u.dtype).eps)))
        return self.loc - self.log_scale.exp() * u.sign() * tail

    def kl_elements(self, other: Laplace) -> Tensor:
        """Returns KL of each element (Meyer, 2021, https://arxiv.org/abs/2105.07928)."""
        distance = (self.loc - other.loc).abs()
        ratio = self.log_scale - other.log_scale
        near = torch.exp(ratio - distance * torch.exp(-self.log_scale))
        return distance * torch.exp(-other.log_scale) + near - 1 - ratio

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance, 2 b^2."""
        return (2 * torch.exp(2 * self.log_scale)).expand_as(self.loc)


class LaplaceFamily(LocationScale):
    """Laplace elements whose scale is learned by element or column, shared or fixed.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        scale: `element` (a network output), `column` (a learned number for each element of an
            event), `shared` (one learned number), or a fixed number.
        floor: What is added to a learned scale; None takes 1e-3 or, for data in wider steps, a
            step / sqrt(12).
    """

    supports = frozenset({"real", "positive", "unit"})

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        scale: Literal["element", "column", "shared"] | float = "element",
        floor: float | None = None,
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.scale = Scale("Laplace", scale, floor)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Laplace:
        """Returns the density; raw numbers are the mean and, if by element, the log-scale."""
        loc = raw.select(-event_ndim - 1, 0)
        return Laplace(loc, self.scale.log_scale(raw, event_ndim), event_ndim)
