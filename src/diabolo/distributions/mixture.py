r"""Mixtures of any density.

.. math:: \log p(x) = \log \sum_m \pi_m p_m(x)

Shapes: `*` any batch, most often (K, B); M components; E the event shape of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from ._shapes import broadcast_shapes
from .base import Distribution
from .spaces import Space

__all__ = ["Mixture"]

CHUNK = 1 << 25  # numbers that one pass over components may hold


@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """A mixture along the last batch axis of its components.

    Arguments:
        logits: Unnormalised log-weights, (*, M) or (M,).
        components: The densities mixed, of batch shape (*, M).
    """

    logits: Tensor
    components: Distribution

    @property
    def event_ndim(self) -> int:
        """The number of axes of E."""
        return self.components.event_ndim

    @property
    def space(self) -> Space:
        """Where the components' points lie."""
        return self.components.space

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the components without the last axis."""
        return broadcast_shapes(self.components.batch_shape, self.logits.shape)[:-1]

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*)."""
        axis = -self.event_ndim - 1
        x = x.unsqueeze(axis)
        mask = None if mask is None else mask.unsqueeze(axis)
        weights = self.logits.log_softmax(-1)
        count = self.logits.shape[-1]
        # What one component needs for all of x; many of them are taken in several passes.
        lead = broadcast_shapes(x.shape[:axis], self.batch_shape)
        step = max(1, CHUNK // max(1, prod(lead) * prod(x.shape[axis:])))
        if step >= count:
            return (weights + self.components.log_prob(x, mask)).logsumexp(-1)
        parts = []
        for start in range(0, count, step):
            stop = min(start + step, count)
            inside = self.components.narrow(start, stop).log_prob(x, mask)
            parts.append((weights[..., start:stop] + inside).logsumexp(-1))
        return torch.stack(parts).logsumexp(0)

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples without gradients: a component for each, then one draw of it."""
        with torch.no_grad():
            below = self.logits.softmax(-1).cumsum(-1)[..., :-1]
            u = noise.uniform((*shape, *self.batch_shape), self.logits)
            return self.components.select((u[..., None] >= below).sum(-1)).sample((), noise)

    @property
    def _weights(self) -> Tensor:
        """The weights, (*, M, 1, ..., 1)."""
        return self.logits.softmax(-1)[(..., *[None] * self.event_ndim)]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return (self._weights * self.components.mean).sum(-self.event_ndim - 1)

    @property
    def variance(self) -> Tensor:
        """The variance: that within components and that between them."""
        inner = self.components
        away = (inner.mean - self.mean.unsqueeze(-self.event_ndim - 1)).square()
        return (self._weights * (inner.variance + away)).sum(-self.event_ndim - 1)
