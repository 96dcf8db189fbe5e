r"""The beta-binomial density of L - 1 trials, for ordered levels with a known top.

.. math::
    \log p(j) = \log \binom nj + j \log \mu + (n - j) \log(1 - \mu)
        + R(j, \tfrac\mu\delta) + R(n - j, \tfrac{1 - \mu}\delta) - R(n, \tfrac1\delta),
    \qquad n = L - 1

R is that of `_gamma`. The chance of a success is a beta variable of mean mu and of parameters
mu / delta and (1 - mu) / delta; at delta = 0 the density is binomial.

Shapes: `*` any batch, most often (K, B); E the event shape of x; L the number of levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from ._gamma import log_rising, within
from .base import Distribution, Family
from .categorical import needed_levels
from .scales import Scale

__all__ = ["BetaBinomial", "BetaBinomialFamily"]

RAW_DISPERSION = -math.log(2)  # of equal chances of all levels where mu = 1/2


@dataclass(frozen=True, eq=False)
class BetaBinomial(Distribution):
    """Independent numbers of successes 0 .. L - 1, or grey levels j / (L - 1).

    Arguments:
        logits: The log-odds of a success, (*, *E).
        log_dispersion: log delta, of a shape that broadcasts to `logits`'s.
        levels: The number L of values, at least 2.
        event_ndim: The number of axes of E.
        kind: What a value of x is: `ordinal`, the number j; `byte`, j / (L - 1).
    """

    logits: Tensor
    log_dispersion: Tensor
    levels: int
    event_ndim: int = 1
    kind: str = "ordinal"

    @property
    def _unit(self) -> int:
        """What x is multiplied by to get the number of successes."""
        return self.levels - 1 if self.kind == "byte" else 1

    @property
    def _logs(self) -> tuple[Tensor, Tensor]:
        """Log mu and log(1 - mu)."""
        return F.logsigmoid(self.logits), F.logsigmoid(-self.logits)

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each element, in nats."""
        n = self.levels - 1
        j = (x * self._unit).round()
        yes, no = self._logs
        ways = math.lgamma(n + 1) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1)
        spread = log_rising(j, yes - self.log_dispersion)
        spread = spread + log_rising(n - j, no - self.log_dispersion)
        total = log_rising(torch.full_like(self.log_dispersion, n), -self.log_dispersion)
        return ways + j * yes + (n - j) * no + spread - total

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns successes or grey levels by the inverse of the distribution function."""
        n = self.levels - 1
        with torch.no_grad():
            u = noise.uniform((*shape, *self.logits.shape), self.logits).double()
            a, b = (within(p.double() - self.log_dispersion.double()) for p in self._logs)
            zero = torch.zeros_like(self.logits)
            log_p = self.log_prob_elements(zero).double()
            below = log_p.exp()
            j = (u >= below).to(u.dtype)
            for i in range(1, n):  # p(i) / p(i - 1), in logarithms as p(0) may be no float
                log_p = log_p + torch.log((n - i + 1) / i * (i - 1 + a) / (n - i + b))
                below = below + log_p.exp()
                j = j + (u >= below)
            return j.to(self.logits.dtype) / self._unit

    @property
    def mean(self) -> Tensor:
        """The mean, (L - 1) mu, in units of x."""
        return self.logits.sigmoid() * ((self.levels - 1) / self._unit)

    @property
    def variance(self) -> Tensor:
        """The variance, in units of x squared."""
        n = self.levels - 1
        yes, no = self.logits.sigmoid(), torch.sigmoid(-self.logits)
        excess = 1 + (n - 1) * self.log_dispersion.sigmoid()
        return n * yes * no * excess / self._unit**2


class BetaBinomialFamily(Family):
    """Levels with a known top, from their mean and a dispersion.

    Arguments:
        levels: The number L of values.
        support: `ordinal`, whose x are numbers 0 .. L - 1, or `byte`, whose x are j / (L - 1).
        dispersion: `element` (a network output), `column` (a learned number for each element of
            an event), `shared` (one learned number), or a fixed number delta.
    """

    supports = frozenset({"byte", "ordinal"})
    apart = True

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        dispersion: Literal["element", "column", "shared"] | float = "element",
    ) -> None:
        levels = needed_levels("BetaBinomial", levels)
        super().__init__(levels=levels, support=support or "ordinal")
        self.dispersion = Scale(
            "BetaBinomial", dispersion, None, what="dispersion", start=RAW_DISPERSION
        )

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the dispersion is learned for each element, else 1."""
        return 1 + self.dispersion.width

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event."""
        self.dispersion.prepare(event, None)

    def from_raw(self, raw: Tensor, event_ndim: int) -> BetaBinomial:
        """Returns the density; raw numbers are log-odds and, if by element, the log-dispersion."""
        logits = raw.select(-event_ndim - 1, 0)
        log_dispersion = self.dispersion.log_scale(raw, event_ndim)
        levels, kind = needed_levels("BetaBinomial", self.levels), self.support or "ordinal"
        return BetaBinomial(logits, log_dispersion, levels, event_ndim, kind)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the log-odds with the data's mean, off the ends, and the first dispersion."""
        levels = needed_levels("BetaBinomial", self.levels)
        share = mean if self.support == "byte" else mean / (levels - 1)
        rows = [torch.logit(share.clamp(0.02, 0.98)), torch.full_like(mean, RAW_DISPERSION)]
        return torch.stack(rows)[: 1 + self.dispersion.width]
