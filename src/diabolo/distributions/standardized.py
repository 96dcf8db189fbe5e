r"""Any density of standardised data, in the data's own units.

.. math:: \log p(x) = \log p_0\big((x - m) / s\big) - \textstyle\sum_i \log s_i

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from .base import Distribution, Family, total

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Standardized", "StandardizedFamily"]


@dataclass(frozen=True, eq=False)
class Standardized(Distribution):
    """x = loc + scale * y, for y of the base density; each seen element counts its log-scale.

    Arguments:
        base: The density of y.
        loc: m, of the shape E.
        scale: s, positive, of the shape E.
    """

    base: Distribution
    loc: Tensor
    scale: Tensor

    @property
    def event_ndim(self) -> int:
        """The number of axes of E."""
        return self.base.event_ndim

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the base."""
        return self.base.batch_shape

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        return self.base.log_prob_elements((x - self.loc) / self.scale) - self.scale.log()

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*)."""
        if mask is None:
            volume = total(self.scale.log(), self.event_ndim)
            return self.base.log_prob((x - self.loc) / self.scale) - volume
        y = (torch.where(mask, x, self.loc) - self.loc) / self.scale
        volume = total(torch.where(mask, self.scale.log(), 0.0), self.event_ndim)
        return self.base.log_prob(y, mask) - volume

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples in the data's units."""
        return self.loc + self.scale * self.base.rsample(shape, noise)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples in the data's units, without gradients."""
        with torch.no_grad():
            return self.loc + self.scale * self.base.sample(shape, noise)

    @property
    def mean(self) -> Tensor:
        """The mean in the data's units."""
        return self.loc + self.scale * self.base.mean

    @property
    def point(self) -> Tensor:
        """The value to show for a datum."""
        return self.loc + self.scale * self.base.point

    @property
    def variance(self) -> Tensor:
        """The variance in the data's units squared."""
        return self.scale.square() * self.base.variance


class StandardizedFamily(Family):
    """A family of standardised data, in the data's own units.

    Arguments:
        base: The family of (x - loc) / scale.
        loc: The data's mean, of the shape E.
        scale: The data's standard deviations, positive, of the shape E.

    Raises:
        DiaboloError: If a scale is not positive, or the base has no density on all real numbers.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, base: Family, loc: Tensor, scale: Tensor) -> None:
        super().__init__(levels=base.levels, support=base.support)
        if "real" not in base.supports:
            raise DiaboloError(
                f"Standardised data are real numbers, on which {base.name} is no density: "
                "use Normal or Laplace, or do not standardise."
            )
        if not bool((scale > 0).all()):
            raise DiaboloError(
                "Standardising needs a positive scale of every element: leave out constant columns."
            )
        self.base, self.supports = base, base.supports
        self.apart = base.apart
        self.batch_level, self.deterministic = base.batch_level, base.deterministic
        self.gathers = base.gathers
        self.register_buffer("loc", loc.to(torch.get_default_dtype()))
        self.register_buffer("scale", scale.to(torch.get_default_dtype()))

    def key(self) -> Hashable:
        """Returns what the bases must have in common."""
        return type(self), self.base.key()

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns the family of several elements, each with its own mean and scale."""
        members = (self, *others)
        base = self.base.joined([f.base for f in others])
        loc, scale = (torch.cat([getattr(f, n) for f in members]) for n in ("loc", "scale"))
        return type(self)(base, loc, scale)

    @property
    def name(self) -> str:
        """The name of the density of standardised values."""
        return self.base.name

    @property
    def stepped(self) -> Tensor | None:
        """Which elements the data's steps keep above the base's usual floor."""
        return self.base.stepped

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Hands the base the steps and the mean of standardised values."""
        step = None if step is None else step.to(self.scale) / self.scale
        mean = None if mean is None else (mean.to(self.loc) - self.loc) / self.scale
        self.base.prepare(event, step, mean)

    def forget(self) -> None:
        """Forgets what the base gathered."""
        self.base.forget()

    def width(self, event: tuple[int, ...]) -> int:
        """Returns the width of the base."""
        return self.base.width(event)

    def from_raw(self, raw: Tensor, event_ndim: int) -> Standardized:
        """Returns the density in the data's units."""
        return Standardized(self.base.from_raw(raw, event_ndim), self.loc, self.scale)

    def start(self, mean: Tensor) -> Tensor | None:
        """Returns what the base starts with for the standardised mean."""
        return self.base.start((mean - self.loc) / self.scale)
