r"""Student's t, its scale as that of a normal density and its degrees of freedom learned or fixed.

.. math::
    \log p(x) = R\big(\tfrac12, \tfrac\nu2\big) - \tfrac12 \log 2\pi - \log s
        - \tfrac{\nu + 1}{2} \log\Big(1 + \frac{z^2}{\nu}\Big), \qquad z = (x - \mu) / s

R is that of `_gamma`, so that the normal density is reached in the limit of large nu.

References:
    | Polar Generation of Random Variates with the t-Distribution (Bailey, 1994)
    | https://doi.org/10.1090/S0025-5718-1994-1219702-8

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._gamma import HALF_LOG_2PI, kept, log_rising, within
from ._location_scale import LocationScale
from .base import Distribution
from .scales import Scale

__all__ = ["StudentT", "StudentTFamily"]


@dataclass(frozen=True, eq=False)
class StudentT(Distribution):
    """Independent elements whose tails fall like x to the power of -df - 1.

    Arguments:
        loc: The centre, (*, *E).
        log_scale: log s, of a shape that broadcasts to `loc`'s.
        log_df: The logarithm of the degrees of freedom nu, likewise.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    log_df: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        log_df = kept(self.log_df)
        z = (x - self.loc).abs() * torch.exp(-self.log_scale - 0.5 * log_df)
        near = z < 1  # beyond, z itself is not squared: no distance overflows
        small, large = torch.where(near, z, 0.0), torch.where(near, 1.0, z)
        far = 2 * large.log() + torch.log1p(1 / large.square())
        growth = torch.where(near, torch.log1p(small.square()), far)
        normaliser = log_rising(0.5, log_df - math.log(2)) - HALF_LOG_2PI
        return normaliser - self.log_scale - 0.5 * (log_df.exp() + 1) * growth

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples by Bailey's polar method, smooth in the degrees of freedom too."""
        size = (*shape, *self.loc.shape)
        df = within(self.log_df)
        tail = -torch.log1p(-noise.uniform(size, self.loc)).clamp(max=-1e-30)
        radius = (df * torch.expm1(2 * tail / df)).sqrt()
        z = radius * torch.sin(2 * math.pi * noise.uniform(size, self.loc))
        return self.loc + self.log_scale.exp() * z

    @property
    def mean(self) -> Tensor:
        """The centre, which is the mean where nu > 1."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance, s^2 nu / (nu - 2); infinite up to nu = 2."""
        df = within(self.log_df)
        heavy = df <= 2
        ratio = torch.where(heavy, torch.inf, df / torch.where(heavy, 1.0, df - 2))
        return (torch.exp(2 * self.log_scale) * ratio).expand_as(self.loc)


class StudentTFamily(LocationScale):
    """Elements with heavy tails, whose scale and degrees of freedom are learned or fixed.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        scale: `element` (a network output), `column` (a learned number for each element of an
            event), `shared` (one learned number), or a fixed number.
        df: The degrees of freedom: `shared` (one learned number above 2, so that there is a
            variance; it starts at 6), or a fixed number above 1, so that there is a mean.
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
        df: Literal["shared"] | float = "shared",
        floor: float | None = None,
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.scale = Scale("StudentT", scale, floor)
        learned = isinstance(df, str)
        self.df = Scale(
            "StudentT",
            df,
            2.0 if learned else None,
            what="df",
            words=("shared",),
            start=math.log(4),
        )
        if not learned and not df > 1:
            raise DiaboloError(
                f"The df of StudentT must be above 1, or its density has no mean, but got {df}."
            )

    def from_raw(self, raw: Tensor, event_ndim: int) -> StudentT:
        """Returns the density; raw numbers are the centre and, if by element, the log-scale."""
        loc, scale = raw.select(-event_ndim - 1, 0), self.scale.log_scale(raw, event_ndim)
        return StudentT(loc, scale, self.df.log_scale(raw, event_ndim), event_ndim)
