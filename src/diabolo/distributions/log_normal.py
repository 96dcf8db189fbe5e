r"""The log-normal density of positive numbers.

.. math:: \log p(x) = \log \mathcal{N}(\log x; \mu, \sigma^2) - \log x

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family
from .normal import Normal
from .scales import FLOOR, Scale

__all__ = ["LogNormal", "LogNormalFamily"]


@dataclass(frozen=True, eq=False)
class LogNormal(Distribution):
    """Independent elements whose logarithm is normal.

    Arguments:
        loc: The mean of log x, (*, *E).
        log_scale: The logarithm of its standard deviation, of a shape that broadcasts to `loc`'s.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    event_ndim: int = 1
    interior = 1.0

    @property
    def log(self) -> Normal:
        """The density of log x."""
        return Normal(self.loc, self.log_scale, self.event_ndim)

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        y = x.log()
        return self.log.log_prob_elements(y) - y

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns the exponentials of normal samples."""
        return self.log.rsample(shape, noise).exp()

    def kl_elements(self, other: LogNormal) -> Tensor:
        """Returns KL of each element, that of the logarithms."""
        return self.log.kl_elements(other.log)

    @property
    def mean(self) -> Tensor:
        """The mean, exp(mu + sigma^2 / 2)."""
        return torch.exp(self.loc + 0.5 * torch.exp(2 * self.log_scale))

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return torch.expm1(torch.exp(2 * self.log_scale)) * self.mean.square()


class LogNormalFamily(Family):
    """Positive elements whose logarithm is normal.

    A step h between values of x is one of h / x between those of log x: the floor follows the
    median exp(mu) that the decoder gives.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        scale: `element` (a network output), `column` (a learned number for each element of an
            event), `shared` (one learned number), or a fixed number.
        floor: What is added to a learned standard deviation of log x; None takes 1e-3 or, for
            data in wider steps, a step / sqrt(12).
    """

    step: Tensor | None
    supports = frozenset({"positive"})
    apart = True

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        scale: Literal["element", "column", "shared"] | float = "shared",
        floor: float | None = None,
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.scale = Scale("LogNormal", scale, floor)
        self.register_buffer("step", None, persistent=False)

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the scale is learned for each element, else 1."""
        return 1 + self.scale.width

    def from_raw(self, raw: Tensor, event_ndim: int) -> LogNormal:
        """Returns the density; raw numbers are the mean of log x and, if by element, its scale."""
        loc = raw.select(-event_ndim - 1, 0)
        return LogNormal(loc, self.scale.log_scale(raw, event_ndim, self._floor(loc)), event_ndim)

    def _floor(self, loc: Tensor) -> Tensor | None:
        """Returns the floor of the standard deviation of log x where that has the mean `loc`."""
        if self.step is None:
            return None
        step = (self.step.to(loc.dtype) * torch.exp(-loc)).clamp(max=1.0)
        return (step / math.sqrt(12)).clamp(min=FLOOR)

    @property
    def stepped(self) -> Tensor | None:
        """Which elements the data's steps keep above the usual floor."""
        return None if self.step is None else self.step > 0

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event and the steps between values."""
        self.scale.prepare(event, None)
        learned = isinstance(self.scale.kind, str) and self.scale.given is None
        self.step = step if learned else None

    def start(self, mean: Tensor) -> Tensor:
        """Returns a mean of log x with which x has the data's mean, at the scale of raw 0."""
        raw = torch.stack([mean.clamp(min=1e-6).log(), torch.zeros_like(mean)])
        raw = raw[: 1 + self.scale.width]
        loc = raw[0]
        with torch.no_grad():
            for _ in range(30):  # the floor follows loc, at most 0.4 as fast: 0.4^30 < 1e-11
                log_scale = self.scale.log_scale(raw, mean.ndim, self._floor(loc))
                loc = raw[0] - 0.5 * torch.exp(2 * log_scale)
        return torch.cat([loc[None], raw[1:]])
