r"""The von Mises-Fisher density of directions: points of the unit sphere of R^D.

.. math:: \log p(z) = \kappa \, \mu^\top z - \log \int e^{\kappa \mu^\top y} \, dy

Concentration 0 is the uniform density. The sphere is measured by its own area.

References:
    | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018)
    | https://arxiv.org/abs/1804.00891

Shapes: `*` any batch, most often (K, B); D dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._angle import Angle, versine
from .base import Distribution
from .spaces import SPHERE

__all__ = ["VonMisesFisher"]


@dataclass(frozen=True, eq=False)
class VonMisesFisher(Distribution):
    """Directions about a mean direction.

    Arguments:
        loc: The mean direction, of length 1, (*, D) with D at least 2.
        concentration: kappa, not negative, (*, 1).
    """

    loc: Tensor
    concentration: Tensor
    event_ndim = 1
    space = SPHERE

    @property
    def _size(self) -> int:
        return self.loc.shape[-1]

    @property
    def _angle(self) -> Angle:
        return Angle(self.concentration, self._size)

    @property
    def _log_ring(self) -> float:
        """The log of the area of the directions at one angle to the mean, over sin^(D-2)."""
        half = (self._size - 1) / 2
        return math.log(2) + half * math.log(math.pi) - math.lgamma(half)

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x, of length 1, in nats, with shape (*).

        Raises:
            DiaboloError: If some elements are unseen: one element is no direction.
        """
        if mask is not None:
            raise DiaboloError("A direction has no marginal density: it needs every element seen.")
        away = 0.5 * (x - self.loc).square().sum(-1, keepdim=True)  # 1 - cos, to all its digits
        return (-self.concentration * away - self._angle.log_total).squeeze(-1) - self._log_ring

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns directions; their gradient by the concentration turns them about the mean."""
        return self.rsample_and_log_prob(shape, noise)[0]

    def rsample_and_log_prob(
        self, shape: tuple[int, ...] = (), noise: Noise = FRESH
    ) -> tuple[Tensor, Tensor]:
        """Returns directions and their log-density.

        The angle is drawn by the inverse of its distribution function, so that its gradient is
        exact; one by rejection, with accepted proposals held fixed, would be biased. The
        direction in which to turn by it is drawn evenly; without noise there is none, and the
        mean direction itself is returned.
        """
        lead = (*shape, *self.batch_shape)
        spread = noise.normal((*lead, self._size), self.loc)
        law = self._angle
        angle = law.inverse(noise.uniform((*lead, 1), self.loc))
        side = self._across(self._across(spread))  # again: rounding leaves a part along the mean
        angle = torch.where(side.abs().sum(-1, keepdim=True) > 0, angle, 0.0)
        log_p = -self.concentration * versine(angle) - law.log_total
        x = angle.cos() * self.loc + angle.sin() * side
        return x, log_p.squeeze(-1) - self._log_ring

    def _across(self, x: Tensor) -> Tensor:
        """The directions across the mean in which x (*S, *, D) points; 0 where in none."""
        side = x - (x * self.loc).sum(-1, keepdim=True) * self.loc
        return F.normalize(side, dim=-1, eps=torch.finfo(x.dtype).tiny)

    def kl_to(self, other: Distribution) -> Tensor | None:
        """Returns KL(self || other), (*), for another density of this type."""
        if not isinstance(other, VonMisesFisher):
            return None
        law, away = self._angle, 0.5 * (self.loc - other.loc).square().sum(-1, keepdim=True)
        own = law.expect(versine(law.angles))
        far = own + (1 - own) * away  # the mean of 1 - cos to the other's direction
        log_ratio = other._angle.log_total - law.log_total
        return (other.concentration * far - self.concentration * own + log_ratio).squeeze(-1)

    @property
    def mean(self) -> Tensor:
        """The mean, which lies within the sphere: the mean cosine times the mean direction."""
        law = self._angle
        return (1 - law.expect(versine(law.angles))) * self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of each element."""
        law = self._angle
        away = versine(law.angles)
        along = law.expect((away - law.expect(away)).square())
        across = law.expect(law.angles.sin().square()) / (self._size - 1)
        return across + (along - across) * self.loc.square()

    @property
    def point(self) -> Tensor:
        """The mean direction."""
        return self.loc
