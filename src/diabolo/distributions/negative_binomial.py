r"""The negative binomial density of counts, from the logarithms of its mean and its dispersion.

.. math::
    \log p(x) = x \log m - \log x! + R(x, \tfrac1\alpha)
        - \big(x + \tfrac1\alpha\big) \log(1 + \alpha m),
    \qquad \mathrm{Var}[x] = m + \alpha m^2

R is that of `_gamma`. The dispersion alpha is the inverse of the theta ("inverse dispersion",
"total count", "size") of other parametrisations; at alpha = 0 the density is Poisson's. It is that
of a Poisson variable whose rate is m times a gamma variable of shape 1 / alpha and mean 1.

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from ._gamma import kept, log_gamma_draws, log_rising, poisson_quantile
from .base import Distribution, Family
from .exposure import Counts, Exposure
from .scales import Scale

__all__ = ["NegativeBinomial", "NegativeBinomialFamily"]

RAW_DISPERSION = -1.0  # at which networks and learned numbers start: a dispersion of 0.37


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Counts):
    """Independent counts that scatter more than Poisson's.

    Arguments:
        log_rate: The logarithm of the mean m, (*, *E).
        log_dispersion: log alpha, of a shape that broadcasts to `log_rate`'s.
        event_ndim: The number of axes of E.
    """

    log_rate: Tensor
    log_dispersion: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each count, in nats."""
        log_size = kept(-self.log_dispersion)
        plain = x * self.log_rate - torch.lgamma(x + 1)
        # log(1 + alpha m): torch's softplus leaves the 1 out above e^20, which x would multiply.
        growth = -F.logsigmoid(log_size - self.log_rate)
        return plain + log_rising(x, log_size) - (x + log_size.exp()) * growth

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns counts, as floats: Poisson's, of gamma rates."""
        with torch.no_grad():
            size = (*shape, *self.log_rate.shape)
            log_size = kept(-self.log_dispersion.double())
            rate = torch.exp(log_gamma_draws(size, log_size, noise) - log_size + self.log_rate)
            u = noise.uniform(size, self.log_rate)
            return poisson_quantile(u, rate).to(self.log_rate.dtype)

    @property
    def variance(self) -> Tensor:
        """The variance, m + alpha m^2."""
        return self.mean + torch.exp(2 * self.log_rate + self.log_dispersion)


class NegativeBinomialFamily(Family):
    """Counts whose dispersion is learned by element or column, shared or fixed.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        dispersion: `element` (a network output), `column` (a learned number for each element of
            an event), `shared` (one learned number), or a fixed number alpha, of a variance
            m + alpha m^2.
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
            "NegativeBinomial", dispersion, None, what="dispersion", start=RAW_DISPERSION
        )
        self.exposure = Exposure("NegativeBinomial", exposure)
        self.given = self.exposure.given

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the dispersion is learned for each element, else 1."""
        return 1 + self.dispersion.width

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
        """Returns the density; raw numbers are log m and, if by element, the log-dispersion."""
        log_rate = raw.select(-event_ndim - 1, 0)
        log_dispersion = self.dispersion.log_scale(raw, event_ndim)
        return self.exposure(NegativeBinomial(log_rate, log_dispersion, event_ndim))

    def start(self, mean: Tensor) -> Tensor:
        """Returns the logarithm of the mean, kept above 0.001, and of the first dispersion."""
        log_rate = mean.clamp(min=1e-3).log()
        rows = [log_rate, torch.full_like(mean, RAW_DISPERSION)]
        return torch.stack(rows)[: 1 + self.dispersion.width]
