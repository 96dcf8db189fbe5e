r"""The normal density, its scale learned by element or column, shared, fixed, or optimal.

.. math:: \log p(x) = -\tfrac12 (x - \mu)^2 / \sigma^2 - \log \sigma - \tfrac12 \log 2\pi

Shapes: `*` any batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ..ranks import batch_mean, batch_sum
from ._location_scale import LocationScale
from .base import Distribution
from .scales import FLOOR, Scale

__all__ = ["Normal", "NormalFamily", "OptimalNormal"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
PART = 0.02  # of the running mean square that one batch replaces


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """Independent normal elements.

    Arguments:
        loc: The mean, (*, *E).
        log_scale: The logarithm of the standard deviation, of a shape that broadcasts to `loc`'s.
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    log_scale: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element, in nats."""
        standard = (x - self.loc) * torch.exp(-self.log_scale)
        return -0.5 * standard * standard - self.log_scale - HALF_LOG_2PI

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns `loc` + scale * noise (Kingma & Welling, 2014, section 2.4)."""
        return self.loc + self.log_scale.exp() * noise.normal((*shape, *self.loc.shape), self.loc)

    def kl_elements(self, other: Normal) -> Tensor:
        """Returns KL of each element (Kingma & Welling, 2014, appendix B, for any two normals)."""
        ratio = self.log_scale - other.log_scale
        shift = (self.loc - other.loc) * torch.exp(-other.log_scale)
        return 0.5 * (torch.expm1(2 * ratio) + shift * shift) - ratio

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return torch.exp(2 * self.log_scale).expand_as(self.loc)

    @property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance of a vector, (*, D, D): it is diagonal."""
        return torch.diag_embed(self.log_scale.exp().expand_as(self.loc))


@dataclass(frozen=True, eq=False)
class OptimalNormal(Distribution):
    r"""Normal elements with the one scale that fits the batch at hand best: training only.

    .. math:: \max_\sigma \log p(x) = -\tfrac{D}{2} (\log 2\pi \, \mathrm{MSE} + 1)

    The density of a datum depends on the rest of its batch. A running mean square is kept, in
    place, for the densities that come after training; samples and the variance use it.

    References:
        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin et al., 2021), eq. 5
        | https://arxiv.org/abs/2006.13202

    Arguments:
        loc: The mean, (*, *E).
        running: Running sums of the mean square and of its weight, (2,), updated in place.
        event_ndim: The number of axes of E.
        least: The least standard deviation of each element, () or E.
    """

    loc: Tensor
    running: Tensor
    event_ndim: int = 1
    least: Tensor | float = FLOOR

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats at the batch's own scale.

        Raises:
            DiaboloError: If there are several posterior samples of each datum.
        """
        batch = self.batch_shape
        if len(batch) > 1 and batch[0] > 1:
            raise DiaboloError(
                "Normal(scale=optimal) fits its scale to one posterior sample of each datum, but "
                f"got k={batch[0]}: use k=1, or scale=shared."
            )
        x = x if mask is None else torch.where(mask, x, self.interior)
        square = (x - self.loc).square()
        if mask is None:
            mean = batch_mean(square)
        else:
            seen = mask.expand_as(square)
            part = torch.where(seen, square, 0.0).sum()
            mean = batch_sum(part) / batch_sum(seen.sum()).clamp(min=1)
        mean = mean.clamp(min=FLOOR**2)  # so that a perfect fit has a finite density
        if torch.is_grad_enabled():
            with torch.no_grad():
                now = torch.stack([mean, torch.ones_like(mean)]).to(self.running.dtype)
                # A step that is not finite is skipped, and leaves no trace here either.
                self.running.lerp_(torch.where(mean.isfinite(), now, self.running), PART)
        return self._at(0.5 * mean.log()).log_prob(x, mask)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples at the running scale."""
        return self.settled().rsample(shape, noise)

    def settled(self) -> Normal:
        """Returns the normal density with the scale found so far."""
        return self._at(settle(self.running).to(self.loc.dtype))

    def _at(self, log_scale: Tensor) -> Normal:
        """Returns the normal density of one log-scale, kept above the least of each element."""
        least = torch.as_tensor(self.least, dtype=log_scale.dtype, device=log_scale.device).log()
        return Normal(self.loc, torch.maximum(log_scale, least), self.event_ndim)

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of `loc`."""
        return self.loc.shape[: self.loc.ndim - self.event_ndim]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance at the running scale."""
        return self.settled().variance


def settle(running: Tensor) -> Tensor:
    """Returns the log-scale of a running mean square and its weight, 0 before any batch."""
    square, weight = running.unbind()
    return 0.5 * torch.where(weight > 0, square / weight.clamp(min=1e-12), 1.0).log()


class NormalFamily(LocationScale):
    """Normal elements whose scale is learned by element or column, shared, fixed or optimal.

    Where the model standardises its data, scales are in units of the data's standard deviation.

    Arguments:
        levels: Unused: the support has no levels.
        support: Unused.
        scale: `element` (a network output), `column` (a learned number for each element of an
            event), `shared` (one learned number), `optimal` (the best for each training batch;
            afterwards a running mean of those), or a fixed number.
        floor: What is added to a learned standard deviation, and the least optimal one; None
            takes 1e-3 or, for data in wider steps, a step / sqrt(12).
    """

    supports = frozenset({"real", "positive", "unit"})

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        scale: Literal["element", "column", "shared", "optimal"] | float = "element",
        floor: float | None = None,
    ) -> None:
        super().__init__(levels=levels, support=support)
        self.scale = Scale("Normal", scale, floor, ("optimal",))
        self.batch_level = self.gathers = scale == "optimal"
        if self.batch_level:
            self.register_buffer("running", torch.zeros(2))

    def forget(self) -> None:
        """Forgets the running scale."""
        if self.batch_level:
            self.get_buffer("running").zero_()

    def from_raw(self, raw: Tensor, event_ndim: int) -> Normal | OptimalNormal:
        """Returns the density; raw numbers are the mean and, if by element, the log-scale."""
        loc = raw.select(-event_ndim - 1, 0)
        if self.batch_level:
            running = self.get_buffer("running")
            density = OptimalNormal(loc, running, event_ndim, self.scale.floor)
            return density if self.training else density.settled()
        return Normal(loc, self.scale.log_scale(raw, event_ndim), event_ndim)
