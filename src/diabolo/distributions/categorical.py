r"""The categorical density of codes, or of grey levels taken as unordered.

.. math:: \log p(x = j) = \lambda_j - \log \sum_i e^{\lambda_i}

Shapes: `*` any batch, most often (K, B); E the event shape of x; L the number of levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._shapes import broadcast_shapes
from ._solve import where_rising
from .base import Distribution, Family

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Categorical", "CategoricalFamily", "at_level", "needed_levels"]

ABSENT = -1e4  # the logit of a level that is not there: of probability 0, and finite


def needed_levels(owner: str, levels: int | None) -> int:
    """Returns the number of levels.

    Raises:
        DiaboloError: If it is lacking or below 2.
    """
    if not isinstance(levels, int) or levels < 2:
        raise DiaboloError(
            f"{owner} needs data with a number of levels, at least 2, but got {levels}: "
            f"say levels=..., or use data of a support with levels (byte, category, ordinal)."
        )
    return levels


def at_level(values: Tensor, code: Tensor, event_ndim: int) -> Tensor:
    """Returns what stands in values (*, L, *E) at codes (*, *E), with shape (*, *E)."""
    axis = -event_ndim - 1
    code = code.unsqueeze(axis)
    lead = broadcast_shapes(code.shape[:axis], values.shape[:axis])
    values = values.expand(*lead, *values.shape[axis:])
    code = code.expand(*lead, 1, *code.shape[code.ndim + axis + 1 :])
    return values.gather(axis, code).squeeze(axis)


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Independent codes 0 .. L - 1, or grey levels j / (L - 1).

    Arguments:
        logits: Unnormalised log-probabilities, (*, L, *E).
        event_ndim: The number of axes of E.
        kind: What a value of x is: `category` or `ordinal`, its code j; `byte`, j / (L - 1).
        counts: The number of levels of each element, of the shape E, where not all have L; of
            codes only. The logits of levels beyond are `ABSENT`.
    """

    logits: Tensor
    event_ndim: int = 1
    kind: str = "category"
    counts: Tensor | None = None

    @property
    def parameter_ndim(self) -> int:
        """The axes of E, and that of the levels."""
        return self.event_ndim + 1

    def parameter_axes(self, name: str) -> int:
        """Returns the number of axes: counts have those of E only."""
        return self.event_ndim if name == "counts" else self.parameter_ndim

    @property
    def _unit(self) -> float:
        """What x is multiplied by to get its code."""
        return self.logits.shape[self._axis] - 1 if self.kind == "byte" else 1

    @property
    def _axis(self) -> int:
        return -self.event_ndim - 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each element, in nats."""
        code = (x * self._unit).round().long()
        chosen = at_level(self.logits, code, self.event_ndim)
        return chosen - self.logits.logsumexp(self._axis)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns codes or grey levels by the inverse of the distribution function."""
        with torch.no_grad():
            below = self.probabilities.cumsum(self._axis)
            size = self.batch_shape + self.logits.shape[self.logits.ndim + self._axis + 1 :]
            u = noise.uniform((*shape, *size), self.logits).unsqueeze(self._axis)
            last = below.shape[self._axis] - 1  # its bound is 1, whatever rounding has left
            code = (u >= below.narrow(self._axis, 0, last)).sum(self._axis)
            if self.counts is not None:
                code = torch.minimum(code, self.counts - 1)
            return code.to(self.logits.dtype) / self._unit

    def kl_elements(self, other: Categorical) -> Tensor:
        """Returns KL of each element."""
        p, q = self.logits.log_softmax(self._axis), other.logits.log_softmax(self._axis)
        return (p.exp() * (p - q)).sum(self._axis)

    @property
    def probabilities(self) -> Tensor:
        """The probability of each level, (*, L, *E)."""
        return self.logits.softmax(self._axis)

    def _values(self) -> Tensor:
        """The value of x of each level, (L, 1, ..., 1)."""
        count = self.logits.shape[self._axis]
        codes = torch.arange(count, dtype=self.logits.dtype, device=self.logits.device)
        return (codes / self._unit).view(-1, *[1] * self.event_ndim)

    @property
    def mean(self) -> Tensor:
        """The mean value of x; of `category` data, whose codes have no order, the mean code."""
        return (self.probabilities * self._values()).sum(self._axis)

    @property
    def variance(self) -> Tensor:
        """The variance of x."""
        away = (self._values() - self.mean.unsqueeze(self._axis)).square()
        return (self.probabilities * away).sum(self._axis)

    @property
    def mode(self) -> Tensor:
        """The most probable value of x, (*, *E)."""
        return self.logits.argmax(self._axis).to(self.logits.dtype) / self._unit

    @property
    def point(self) -> Tensor:
        """The mean of grey levels; of codes, the most probable one."""
        return self.mean if self.kind == "byte" else self.mode


class CategoricalFamily(Family):
    """Codes or grey levels, each with a probability of its own.

    Arguments:
        levels: The number L of values.
        support: `category` or `ordinal`, whose x are codes, or `byte`, whose x are j / (L - 1).
    """

    counts: Tensor | None
    supports = frozenset({"byte", "category", "ordinal"})
    apart = True

    def __init__(self, *, levels: int | None = None, support: str | None = None) -> None:
        super().__init__(levels=needed_levels("Categorical", levels), support=support or "category")
        # Not among the weights: it follows from the families that were joined.
        self.register_buffer("counts", None, persistent=False)

    def key(self) -> Hashable:
        """Returns the support, and the number of levels up to a factor of 2."""
        count = needed_levels("Categorical", self.levels)
        return type(self), self.support, (count - 1).bit_length(), self.support == "byte" and count

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns the family of several elements, whose levels may be of several numbers."""
        counts = [needed_levels("Categorical", f.levels) for f in (self, *others)]
        made = type(self)(levels=max(counts), support=self.support)
        if min(counts) < max(counts):
            made.counts = torch.tensor(counts)
        return made

    def width(self, event: tuple[int, ...]) -> int:
        """Returns the number of levels."""
        return needed_levels("Categorical", self.levels)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Categorical:
        """Returns the density."""
        if self.counts is not None:
            codes = torch.arange(raw.shape[-event_ndim - 1], device=raw.device)
            there = codes.view(-1, *[1] * event_ndim) < self.counts
            raw = torch.where(there, raw, ABSENT)
        return Categorical(raw, event_ndim, self.support or "category", self.counts)

    def start(self, mean: Tensor) -> Tensor | None:
        """Returns the logits of greatest entropy with the data's mean; None for `category`."""
        if self.support == "category":
            return None
        count = self.width(tuple(mean.shape))
        counts = torch.full_like(mean, count) if self.counts is None else self.counts.to(mean)
        share = mean if self.support == "byte" else mean / (counts - 1)
        share = share.clamp(0.02, 0.98)
        codes = torch.arange(count, dtype=mean.dtype, device=mean.device)
        codes = codes.view(-1, *[1] * mean.ndim) / (counts - 1)
        there = codes < 1 + 0.5 / count

        def found(slope: Tensor) -> Tensor:
            shares = torch.where(there, codes * slope, -torch.inf).softmax(0)
            return (shares * codes).sum(0)

        return codes * where_rising(found, share, -400.0, 400.0)
