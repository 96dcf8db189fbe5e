r"""The logistic density collected into grey levels j / (L - 1).

.. math::
    \log p(x) = \log \big( \sigma(a) - \sigma(b) \big), \qquad
    a, b = \frac{x \pm \tfrac12 \delta - \mu}{s}, \qquad \delta = \frac{1}{L - 1},

where the first bin is open below and the last one above. The difference is computed as
:math:`\log\sigma(a) + \log\sigma(-b) + \log(1 - e^{-\delta/s})`, which cancels nowhere.

References:
    | PixelCNN++ (Salimans et al., 2017), eq. 2
    | https://arxiv.org/abs/1701.05517

Shapes: `*` any batch, most often (K, B); E the event shape of x; L the number of levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import FRESH, Noise
from ._solve import where_rising
from .base import Distribution, Family
from .categorical import needed_levels
from .scales import Scale

__all__ = ["DiscretizedLogistic", "DiscretizedLogisticFamily"]

RAW_SCALE = -2.0  # the raw scale at which networks start: about an eighth of the grey axis
AT_ONCE = 32  # levels of an exported mean that are worked on together


@dataclass(frozen=True, eq=False)
class DiscretizedLogistic(Distribution):
    """Independent grey levels.

    Arguments:
        loc: The centre of the logistic density in units of x, (*, *E).
        log_scale: The logarithm of its scale s, of a shape that broadcasts to `loc`'s.
        levels: The number L of grey levels, at least 2.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    levels: int
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each grey level, in nats."""
        half = 0.5 / (self.levels - 1)
        per = torch.exp(-self.log_scale)
        first, last = x < half, x > 1 - half
        below = F.logsigmoid((x + half - self.loc) * per)
        above = F.logsigmoid((self.loc - x + half) * per)
        inside = torch.log(-torch.expm1(-2 * half * per))
        value = torch.where(last, 0.0, below) + torch.where(first, 0.0, above)
        return value + torch.where(first | last, 0.0, inside)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns grey levels: logistic samples at the nearest level."""
        with torch.no_grad():
            u = noise.uniform((*shape, *self.loc.shape), self.loc)
            x = self.loc + self.log_scale.exp() * torch.logit(u, eps=torch.finfo(u.dtype).eps)
            top = self.levels - 1
            return (x * top).round().clamp(0, top) / top

    def _moments(self, *, both: bool = True) -> tuple[Tensor, Tensor]:
        """Returns E[J] and, where `both`, E[J^2] of the level J, from P(J >= j) of every j."""
        top = self.levels - 1
        per = torch.exp(-self.log_scale)
        first = torch.zeros_like(self.loc)
        second = torch.zeros_like(self.loc)

        def beyond(j: Tensor | int) -> Tensor:
            return torch.sigmoid((self.loc - (j - 0.5) / top) * per)

        if torch.compiler.is_exporting():  # a file with L steps would be slow to write and to read
            for js in torch.arange(1, self.levels, device=self.loc.device).split(AT_ONCE):
                j = js.view(-1, *[1] * self.loc.ndim)
                part = beyond(j)
                first, second = first + part.sum(0), second + ((2 * j - 1) * part).sum(0)
            return first, second
        for j in range(1, self.levels):  # a loop, as an axis of L would not fit in memory
            part = beyond(j)
            first = first + part
            if both:
                second = second + (2 * j - 1) * part
        return first, second

    @property
    def mean(self) -> Tensor:
        """The mean grey level, in units of x."""
        return self._moments(both=False)[0] / (self.levels - 1)

    @property
    def variance(self) -> Tensor:
        """The variance, in units of x squared."""
        first, second = self._moments()
        return (second - first.square()).clamp(min=0) / (self.levels - 1) ** 2


class DiscretizedLogisticFamily(Family):
    """Grey levels whose scale is learned by element or column, shared or fixed.

    Arguments:
        levels: The number L of grey levels.
        support: Unused.
        scale: `element` (a network output), `column` (a learned number for each element of an
            event), `shared` (one learned number), or a fixed number, in units of x in [0, 1].
        floor: What is added to a learned scale; None takes 1e-3.
    """

    supports = frozenset({"byte"})

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        scale: Literal["element", "column", "shared"] | float = "element",
        floor: float | None = None,
    ) -> None:
        levels = needed_levels("DiscretizedLogistic", levels)
        super().__init__(levels=levels, support=support)
        self.scale = Scale("DiscretizedLogistic", scale, floor, start=RAW_SCALE)

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the scale is learned for each element, else 1."""
        return 1 + self.scale.width

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event; probabilities of levels are bounded at any scale."""
        self.scale.prepare(event, None)

    def from_raw(self, raw: Tensor, event_ndim: int) -> DiscretizedLogistic:
        """Returns the density; raw numbers are the centre and, if by element, the log-scale."""
        loc = raw.select(-event_ndim - 1, 0)
        levels = needed_levels("DiscretizedLogistic", self.levels)
        return DiscretizedLogistic(loc, self.scale.log_scale(raw, event_ndim), levels, event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the centre with the data's mean, kept within [0.02, 0.98], by bisection."""
        scale = torch.full_like(mean, RAW_SCALE)
        rows = 1 + self.scale.width

        def found(loc: Tensor) -> Tensor:
            return self.from_raw(torch.stack([loc, scale])[:rows], mean.ndim).mean

        # 41 / 2^40 is far below a grey level
        loc = where_rising(found, mean.clamp(0.02, 0.98), -20.0, 21.0, 40)
        return torch.stack([loc, scale])[:rows]
