"""The mean of several importance-weighted bounds.

Shapes: K = M L posterior samples, M bounds, B batch.
"""

from __future__ import annotations

import math

from torch import Tensor

from ..errors import DiaboloError
from ..model import Trace
from .base import declare, sampled

__all__ = ["miwae", "weights"]


def weights(t: Trace, *, bounds: int) -> Tensor:
    """Returns the weights with which samples are averaged, (K, B); those of each bound sum to 1/M.

    Raises:
        DiaboloError: If the samples do not make as many bounds.
    """
    return _parted(t, bounds).softmax(1).flatten(0, 1) / bounds


@declare(importance=weights)
def miwae(t: Trace, *, bounds: int) -> Tensor:
    r"""Mean of M importance-weighted bounds of L samples each.

    .. math:: \tfrac1M \sum_m \log \tfrac1L \sum_l p(x, z_{ml}) / q(z_{ml} \mid x)

    M = 1 is `iwae`; L = 1 is the sampled ELBO.

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), section 5
        | https://arxiv.org/abs/1802.04537

    Arguments:
        t: A trace with K = M L samples.
        bounds: The number M of bounds.

    Returns:
        The bound in nats, (B,).

    Raises:
        DiaboloError: If K is no multiple of M, or z is enumerated.
    """
    parted = _parted(t, bounds)
    return (parted.logsumexp(1) - math.log(parted.shape[1])).mean(0) - t.penalty


def _parted(t: Trace, bounds: int) -> Tensor:
    """The log-weights of each bound, (M, L, B)."""
    sampled(t, "MIWAE")
    k = t.log_weight.shape[0]
    if k % bounds:
        raise DiaboloError(f"k={k} samples do not make {bounds} bounds of as many samples each.")
    return t.log_weight.unflatten(0, (bounds, -1))
