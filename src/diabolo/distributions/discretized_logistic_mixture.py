r"""A mixture of discretised logistic densities for each grey level on its own.

.. math:: p(x) = \sum_m \pi_m \, p_m(x)

The components are `DiscretizedLogistic`, whose first and last bins hold the tails, mixed by
`Mixture` with a choice of its own for each element. (In PixelCNN++ the channels of a pixel share
the choice; here they are independent given z, as all elements are.)

References:
    | PixelCNN++ (Salimans et al., 2017), section 2.1
    | https://arxiv.org/abs/1701.05517

Shapes: `*` any batch, most often (K, B); E the event shape of x; L levels; M components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._solve import where_rising
from .base import Distribution, Family
from .categorical import needed_levels
from .discretized_logistic import RAW_SCALE, DiscretizedLogistic
from .mixture import Mixture
from .scales import Scale

__all__ = ["DiscretizedLogisticMixture", "DiscretizedLogisticMixtureFamily"]

APART = 0.2  # of the grey axis, over which the components are spread at the start


@dataclass(frozen=True, eq=False)
class DiscretizedLogisticMixture(Distribution):
    """Independent grey levels.

    Arguments:
        loc: The centres in units of x, (*, M, *E).
        logits: Unnormalised log-weights, (*, M, *E).
        log_scale: The logarithms of the scales, of a shape that broadcasts to `loc`'s.
        levels: The number L of grey levels, at least 2.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    logits: Tensor
    log_scale: Tensor
    levels: int
    event_ndim: int = 1

    @property
    def parameter_ndim(self) -> int:
        """The axes of E, and that of the components."""
        return self.event_ndim + 1

    @property
    def batch_shape(self) -> torch.Size:
        """The shape in front of the components."""
        return self.loc.shape[: self.loc.ndim - self.parameter_ndim]

    @property
    def mixture(self) -> Mixture:
        """The densities of single elements, of batch shape (*, *E)."""
        axis = -self.event_ndim - 1
        loc, logits = self.loc.movedim(axis, -1), self.logits.movedim(axis, -1)
        log_scale = self.log_scale.expand_as(self.loc).movedim(axis, -1)
        return Mixture(logits, DiscretizedLogistic(loc, log_scale, self.levels, 0))

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each grey level, in nats."""
        return self.mixture.log_prob(x)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns grey levels."""
        return self.mixture.sample(shape, noise)

    @property
    def mean(self) -> Tensor:
        """The mean grey level, in units of x."""
        return self.mixture.mean

    @property
    def variance(self) -> Tensor:
        """The variance, in units of x squared."""
        return self.mixture.variance


class DiscretizedLogisticMixtureFamily(Family):
    """Grey levels from several centres, each with a weight and a scale.

    Arguments:
        levels: The number L of grey levels.
        support: Unused.
        components: The number M of components.
        scale: `element` (network outputs, one a component), `column` (learned numbers for each
            component and element of an event), `shared` (one learned number), or a fixed number,
            in units of x in [0, 1].
        floor: What is added to a learned scale; None takes 1e-3.
    """

    supports = frozenset({"byte"})

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        components: int = 5,
        scale: Literal["element", "column", "shared"] | float = "element",
        floor: float | None = None,
    ) -> None:
        levels = needed_levels("DiscretizedLogisticMixture", levels)
        super().__init__(levels=levels, support=support)
        if not isinstance(components, int) or components < 1:
            raise DiaboloError(
                f"DiscretizedLogisticMixture needs a number of components, at least 1, but got "
                f"{components}."
            )
        self.components = components
        self.scale = Scale("DiscretizedLogisticMixture", scale, floor, start=RAW_SCALE)

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 3 numbers a component where its scale is learned for each element, else 2."""
        return self.components * (2 + self.scale.width)

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event; probabilities of levels are bounded at any scale."""
        self.scale.prepare((self.components, *event), None)

    def from_raw(self, raw: Tensor, event_ndim: int) -> DiscretizedLogisticMixture:
        """Returns the density; raw numbers are all centres, all log-weights, all log-scales."""
        raw = raw.unflatten(-event_ndim - 1, (-1, self.components))  # (*, 2 or 3, M, *E)
        loc, logits = (raw.select(-event_ndim - 2, i) for i in (0, 1))
        levels = needed_levels("DiscretizedLogisticMixture", self.levels)
        log_scale = self.scale.log_scale(raw, event_ndim + 1)
        return DiscretizedLogisticMixture(loc, logits, log_scale, levels, event_ndim)

    def start(self, mean: Tensor) -> Tensor:
        """Returns centres about one with the data's mean, kept within [0.02, 0.98]; equal weights.

        Components that started alike would stay alike but for the network's chance.
        """
        apart = torch.linspace(-1, 1, self.components, dtype=mean.dtype, device=mean.device)
        apart = APART / 2 * apart.view(-1, *[1] * mean.ndim) * (self.components > 1)
        plain = torch.zeros_like(apart + mean)

        def raw(loc: Tensor) -> Tensor:
            rows = torch.stack([loc + apart, plain, plain + RAW_SCALE])
            return rows[: 2 + self.scale.width].flatten(0, 1)

        def found(loc: Tensor) -> Tensor:
            return self.from_raw(raw(loc), mean.ndim).mean

        return raw(where_rising(found, mean.clamp(0.02, 0.98), -20.0, 21.0, 40))
