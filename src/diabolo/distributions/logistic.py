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
from .base import Distribution, Family
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


class LogisticFamily(Family):
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

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the scale is learned for each element, else 1."""
        return 1 + self.scale.width

    @property
    def stepped(self) -> Tensor | None:
        """Which elements the data's steps keep above the usual floor."""
        return self.scale.stepped

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event and the steps between values."""
        self.scale.prepare(event, step)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Logistic:
        """Returns the density; raw numbers are the mean and, if by element, the log-scale."""
        loc = raw.select(-event_ndim - 1, 0)
        return Logistic(loc, self.scale.log_scale(raw, event_ndim), event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the mean, and a scale of 1."""
        return torch.stack([mean, torch.zeros_like(mean)])[: 1 + self.scale.width]
