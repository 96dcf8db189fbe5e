r"""The density of ordered levels by a cumulative link: a location among ordered cut points.

.. math:: P(x \le j) = \sigma(\tau_j - \eta), \qquad \tau_0 < \tau_1 < \dots < \tau_{L-2}

The location eta is the network's, the cut points are learned and belong to the data as a whole.
A level's probability is computed as that of a bin of `DiscretizedLogistic`, without cancellation.

References:
    | Regression Models for Ordinal Data (McCullagh, 1980), the proportional odds model
    | https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

Shapes: `*` any batch, most often (K, B); E the event shape of x; L the number of levels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DiaboloError, unknown
from ..noise import FRESH, Noise
from ._solve import where_rising
from .base import Distribution, Family
from .categorical import at_level, needed_levels
from .scales import SPEED, above

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Ordinal", "OrdinalFamily"]

LEAST = 0.4  # between two cut points, over L: a tenth of the least at the start


@dataclass(frozen=True, eq=False)
class Ordinal(Distribution):
    """Independent codes 0 .. L - 1 in order, or grey levels j / (L - 1).

    Arguments:
        edges: The cut points as the location sees them, tau_j - eta, rising, (*, L - 1, *E).
        event_ndim: The number of axes of E.
        kind: What a value of x is: `ordinal`, its code j; `byte`, j / (L - 1).
    """

    edges: Tensor
    event_ndim: int = 1
    kind: str = "ordinal"

    @property
    def parameter_ndim(self) -> int:
        """The axes of E, and that of the cut points."""
        return self.event_ndim + 1

    @property
    def batch_shape(self) -> torch.Size:
        """The shape in front of the cut points."""
        return self.edges.shape[: self.edges.ndim - self.parameter_ndim]

    @property
    def _axis(self) -> int:
        return -self.event_ndim - 1

    @property
    def _top(self) -> int:
        return self.edges.shape[self._axis]

    @property
    def _unit(self) -> int:
        """What x is multiplied by to get its code."""
        return self._top if self.kind == "byte" else 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each element, in nats."""
        code = (x * self._unit).round().long()
        first, last = code == 0, code == self._top
        upper = at_level(self.edges, code.clamp(max=self._top - 1), self.event_ndim)
        lower = at_level(self.edges, (code - 1).clamp(min=0), self.event_ndim)
        below = torch.where(last, 0.0, F.logsigmoid(upper))
        over = torch.where(first, 0.0, F.logsigmoid(-lower))
        gap = torch.where(first | last, 1.0, upper - lower)
        inside = torch.log(-torch.expm1(-gap))
        return below + over + torch.where(first | last, 0.0, inside)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns codes or grey levels by the inverse of the distribution function."""
        with torch.no_grad():
            size = self.batch_shape + self.edges.shape[self.edges.ndim + self._axis + 1 :]
            u = noise.uniform((*shape, *size), self.edges).unsqueeze(self._axis)
            return self._count(u >= self.edges.sigmoid()) / self._unit

    def _count(self, beyond: Tensor) -> Tensor:
        return beyond.sum(self._axis).to(self.edges.dtype)

    @property
    def mean(self) -> Tensor:
        """The mean value of x: the sum of P(x > j)."""
        return torch.sigmoid(-self.edges).sum(self._axis) / self._unit

    @property
    def variance(self) -> Tensor:
        """The variance of x."""
        odd = 2 * torch.arange(self._top, dtype=self.edges.dtype, device=self.edges.device) + 1
        beyond = torch.sigmoid(-self.edges)
        second = (odd.view(-1, *[1] * self.event_ndim) * beyond).sum(self._axis)
        return (second - beyond.sum(self._axis).square()).clamp(min=0) / self._unit**2

    @property
    def point(self) -> Tensor:
        """The mean of grey levels; of codes, the median."""
        return self.mean if self.kind == "byte" else self._count(self.edges < 0)


class OrdinalFamily(Family):
    """Ordered levels from a location and learned cut points.

    Arguments:
        levels: The number L of values.
        support: `ordinal`, whose x are codes, or `byte`, whose x are j / (L - 1).
        cuts: Whose cut points are learned: `column` (of each element of an event), or `shared`.
    """

    raw: nn.Parameter | None
    supports = frozenset({"byte", "ordinal"})
    apart = True

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        cuts: Literal["column", "shared"] = "column",
    ) -> None:
        count = needed_levels("Ordinal", levels)
        super().__init__(levels=count, support=support or "ordinal")
        if cuts not in ("column", "shared"):
            raise unknown("cuts of Ordinal", str(cuts), ("column", "shared"))
        self.cuts: str = cuts
        # Cut points with equal chances of all levels at the location 0.
        even = torch.logit(torch.arange(1, count, dtype=torch.float64) / count)
        self.least = LEAST / count
        gaps = (even.diff() - self.least).log()
        self.even = torch.cat([even[:1], gaps]).to(torch.get_default_dtype())
        self.register_parameter("raw", None)  # by column: the shape is not known yet
        if cuts == "shared":
            self.raw = nn.Parameter(self.even / SPEED)

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns the family of several elements, each with cut points of its own."""
        made = copy.deepcopy(self)
        made.cuts = "column"
        if self.raw is not None:
            raws = [f.raw.detach().flatten() for f in (self, *others)]  # type: ignore[union-attr]
            made.raw = nn.Parameter(torch.stack(raws, -1))
        return made

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event.

        Raises:
            DiaboloError: If cut points by column were made for events of another shape.
        """
        if self.cuts == "shared":
            return
        if self.raw is None:
            raw = (self.even / SPEED).view(-1, *[1] * len(event))
            self.raw = nn.Parameter(raw.expand(-1, *event).clone())
        elif self.raw.shape[1:] != event:
            raise DiaboloError(
                f"This Ordinal was made for data of shape {tuple(self.raw.shape[1:])}, but these "
                f"have the shape {event}: make one for each model."
            )

    def from_raw(self, raw: Tensor, event_ndim: int) -> Ordinal:
        """Returns the density; the raw number is the location.

        Raises:
            DiaboloError: If cut points by column were not told the shape of an event.
        """
        if self.raw is None:
            raise DiaboloError(
                "Ordinal(cuts=column) has cut points for each element of the data: call "
                "prepare(event) first."
            )
        learned = SPEED * self.raw.to(raw.dtype)
        if self.cuts == "shared":
            learned = learned.view(-1, *[1] * event_ndim)
        gaps = above(learned[1:], self.least).exp()
        cuts = torch.cat([learned[:1], gaps]).cumsum(0)
        return Ordinal(cuts - raw, event_ndim, self.support or "ordinal")

    def start(self, mean: Tensor) -> Tensor:
        """Returns the location with the data's mean, kept off the ends of the levels."""
        top = needed_levels("Ordinal", self.levels) - 1
        share = mean if self.support == "byte" else mean / top
        goal = share.clamp(0.02, 0.98) * (1 if self.support == "byte" else top)

        def found(loc: Tensor) -> Tensor:
            return self.from_raw(loc[None], mean.ndim).mean

        return where_rising(found, goal, -100.0, 100.0)[None]
