r"""The logistic density, with its scale learned by element or column, shared or fixed.

.. math:: \log p(x) = \log \sigma(z) + \log \sigma(-z) - \log s, \qquad z = (x - \mu) / s

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from ._location_scale import LocationScale
from .base import Distribution
from .scales import Scale

__all__ = ["Logistic", "LogisticFamily"]


@dataclass(frozen=True, eq=False)
class Logistic(Distribution):
    """Independent logistic elements.

    Arguments:
        loc: The mean, (*, *E).
        log_scale: log s, of a shape that broadcasts to `loc`'s.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        z = (x - self.loc) * torch.exp(-self.log_scale)
        return F.logsigmoid(z) + F.logsigmoid(-z) - self.log_scale

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples by the inverse of the distribution function."""
        u = noise.uniform((*shape, *self.loc.shape), self.loc)
        return self.loc + self.log_scale.exp() * torch.logit(u, eps=torch.finfo(u.dtype).eps)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance, (pi s)^2 / 3."""
        return (math.pi**2 / 3 * torch.exp(2 * self.log_scale)).expand_as(self.loc)


class LogisticFamily(LocationScale):
    """Logistic elements whose scale is learned by element or column, shared or fixed.

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
        self.scale = Scale("Logistic", scale, floor)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Logistic:
        """Returns the density; raw numbers are the mean and, if by element, the log-scale."""
        loc = raw.select(-event_ndim - 1, 0)
        return Logistic(loc, self.scale.log_scale(raw, event_ndim), event_ndim)
