r"""Counts given their total: how much each datum was exposed to what is counted.

.. math::
    \log p(x \mid z, l), \qquad
    \mathbb{E}[x_j] = l \, \frac{m_j(z)}{\sum_i m_i(z)}, \qquad l = \textstyle\sum_j x_j

where m are the means that the decoder gives. The number that is reported is conditional: it is the
log-density of x under the exposure that x itself shows, which is no density of x; the total is
taken, not explained, and numbers with and without it are not comparable. As the total is a
function of x, it is a lower bound on the log-density of x among all data of that total:

.. math::
    \log p(x \mid z, l)
    = \log p(x \mid z, l, \textstyle\sum_j x_j = l) + \log p(\sum_j x_j = l \mid z, l)

Of a datum with unseen entries, both sums run over the seen ones. Of Poisson's density this l is
the most likely exposure, and the second term is about -log(2 pi l) / 2.

Samples and means, where there is no x, have the exposure of a mean datum: the mean total.

References:
    | Deep generative modeling for single-cell transcriptomics (Lopez et al., 2018), the observed
    | library size
    | https://doi.org/10.1038/s41592-018-0229-2

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import DiaboloError, unknown
from ..noise import FRESH, Noise
from .base import Distribution

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Counts", "Exposed", "Exposure"]

LEAST = 1e-3  # the exposure of a datum whose counts are all 0: it has a density at 0 then


class Counts(Distribution):
    """A density of counts with a rate, so that its exposure can be changed."""

    log_rate: Tensor

    def times(self, log_factor: Tensor) -> Self:
        """Returns the density with its rates times a factor, whose logarithm broadcasts."""
        return replace(self, log_rate=self.log_rate + log_factor)  # type: ignore[type-var]

    @property
    def log_mean(self) -> Tensor:
        """The logarithm of the mean of each element, (*, *E)."""
        return self.log_rate

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.log_mean.exp()


@dataclass(frozen=True, eq=False)
class Exposed(Distribution):
    """Counts x, each datum of which is scored given its total.

    Arguments:
        base: The density at the exposure of a mean datum.
    """

    base: Counts

    @staticmethod
    def of(base: Counts, exposure: Tensor) -> Exposed:
        """Returns the density whose means add up to an exposure, () or (*)."""
        return Exposed(_scaled(base, exposure[(..., *[None] * base.event_ndim)], None))

    @property
    def event_ndim(self) -> int:
        """The number of axes of E."""
        return self.base.event_ndim

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the base."""
        return self.base.batch_shape

    def given(self, x: Tensor, mask: Tensor | None = None) -> Counts:
        """Returns the density of counts whose means add up to the total of the seen ones."""
        x = x if mask is None else torch.where(mask, x, 0.0)
        return _scaled(self.base, x.sum(_axes(self.base), keepdim=True), mask)

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element given the total, in nats."""
        return self.given(x).log_prob_elements(x)

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x given the total of its seen elements, in nats, (*)."""
        return self.given(x, mask).log_prob(x, mask)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples at the exposure of a mean datum."""
        return self.base.sample(shape, noise)

    @property
    def mean(self) -> Tensor:
        """The mean at the exposure of a mean datum."""
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        """The variance at the exposure of a mean datum."""
        return self.base.variance


def _axes(p: Counts) -> tuple[int, ...]:
    return tuple(range(-p.event_ndim, 0))


def _scaled(base: Counts, exposure: Tensor, mask: Tensor | None) -> Counts:
    """Returns the density whose means over the seen elements add up to an exposure (*, 1..)."""
    log_mean, axes = base.log_mean, _axes(base)
    if mask is not None:
        seen = mask | ~mask.any(axes, keepdim=True)  # where nothing was seen, any factor will do
        log_mean = torch.where(seen, log_mean, -torch.inf)
    total = log_mean.logsumexp(axes, keepdim=True)
    return base.times(exposure.clamp(min=LEAST).log() - total)


class Exposure(nn.Module):
    """What counts are taken relative to: nothing, or the total of their datum.

    Arguments:
        owner: The family's name, for error messages.
        kind: `one`, the same exposure for all data, or `total`, that of `Exposed`.

    Raises:
        DiaboloError: If the kind is unknown.
    """

    reference: Tensor | None

    def __init__(self, owner: str, kind: str) -> None:
        super().__init__()
        if kind not in ("one", "total"):
            raise unknown(f"exposure of {owner}", str(kind), ("one", "total"))
        self.owner, self.kind = owner, kind
        # Not among the weights: it follows from the spec, which is stored with them.
        self.register_buffer("reference", None, persistent=False)

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns the exposure of several elements instead of those of one element each."""
        return self

    @property
    def given(self) -> str:
        """What of x itself x is scored given."""
        return "total" if self.kind == "total" else ""

    def prepare(self, mean: Tensor | None) -> None:
        """Takes the mean datum, whose total is the exposure of samples."""
        self.reference = None if mean is None else mean.sum().to(torch.get_default_dtype())

    def forward(self, base: Counts) -> Distribution:
        """Returns the density as its data are exposed.

        Raises:
            DiaboloError: If the mean datum is needed and not known.
        """
        if self.kind == "one":
            return base
        if self.reference is None:
            raise DiaboloError(
                f"{self.owner}(exposure=total) samples at the total of a mean datum: call "
                "prepare(event, None, mean) first, or give the spec its mean."
            )
        return Exposed.of(base, self.reference)
