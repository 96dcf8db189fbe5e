r"""The negative binomial density of counts with extra zeros.

.. math:: p(x) = \pi \, [x = 0] + (1 - \pi) \, p_0(x), \qquad \pi = \sigma(\lambda)

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family
from .exposure import Counts, Exposure
from .negative_binomial import RAW_DISPERSION, NegativeBinomial
from .scales import Scale

__all__ = ["ZeroInflatedNegativeBinomial", "ZeroInflatedNegativeBinomialFamily"]

RAW_ZEROS = -2.0  # the log-odds of an extra zero at which networks start


@dataclass(frozen=True, eq=False)
class ZeroInflatedNegativeBinomial(Counts):
    """Independent counts, each of which may be a zero of another cause.

    Arguments:
        log_rate: The logarithm of the mean m of the counts that are no extra zeros, (*, *E).
        logits: lambda, the log-odds of an extra zero, (*, *E).
        log_dispersion: log alpha, of a shape that broadcasts to `log_rate`'s.
        event_ndim: The number of axes of E.
    """

    log_rate: Tensor
    logits: Tensor
    log_dispersion: Tensor
    event_ndim: int = 1

    @property
    def counts(self) -> NegativeBinomial:
        """The density of the counts that are no extra zeros."""
        return NegativeBinomial(self.log_rate, self.log_dispersion, self.event_ndim)

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each count, in nats."""
        plain = self.counts.log_prob_elements(x)
        some = torch.where(x == 0, torch.logaddexp(self.logits, plain), plain)
        return some + F.logsigmoid(-self.logits)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns counts, as floats."""
        with torch.no_grad():
            x = self.counts.sample(shape, noise)
            u = noise.uniform((*shape, *self.logits.shape), self.logits)
            return torch.where(u < self.logits.sigmoid(), 0.0, x)

    @property
    def log_mean(self) -> Tensor:
        """The logarithm of the mean, (1 - pi) m."""
        return self.log_rate + F.logsigmoid(-self.logits)

    @property
    def variance(self) -> Tensor:
        """The variance, (1 - pi) (m + alpha m^2) + pi (1 - pi) m^2."""
        kept, extra = torch.sigmoid(-self.logits), torch.sigmoid(self.logits)
        return kept * (self.counts.variance + extra * torch.exp(2 * self.log_rate))


class ZeroInflatedNegativeBinomialFamily(Family):
    """Counts with extra zeros, whose dispersion is learned or fixed.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        dispersion: As that of `NegativeBinomial`.
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
        dispersion: Literal["element", "column", "shared"] | float = "column",
        exposure: Literal["one", "total"] = "one",
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.dispersion = Scale(
            "ZeroInflatedNegativeBinomial",
            dispersion,
            None,
            what="dispersion",
            start=RAW_DISPERSION,
        )
        self.exposure = Exposure("ZeroInflatedNegativeBinomial", exposure)
        self.given = self.exposure.given

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 3 where the dispersion is learned for each element, else 2."""
        return 2 + self.dispersion.width

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event and the mean datum."""
        self.dispersion.prepare(event, None)
        self.exposure.prepare(mean)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Distribution:
        """Returns the density; raw numbers are log m, the log-odds and the log-dispersion."""
        log_rate, logits = (raw.select(-event_ndim - 1, i) for i in (0, 1))
        log_dispersion = self.dispersion.log_scale(raw, event_ndim)
        return self.exposure(
            ZeroInflatedNegativeBinomial(log_rate, logits, log_dispersion, event_ndim)
        )

    def start(self, mean: Tensor) -> Tensor:
        """Returns rates with the data's mean, few extra zeros, and the first dispersion."""
        logits = torch.full_like(mean, RAW_ZEROS)
        log_rate = mean.clamp(min=1e-3).log() - F.logsigmoid(-logits)
        rows = [log_rate, logits, torch.full_like(mean, RAW_DISPERSION)]
        return torch.stack(rows)[: 2 + self.dispersion.width]
