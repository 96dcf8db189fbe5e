"""A mixture of the evidence lower bound and the importance-weighted one.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .base import declare
from .iwae import iwae

__all__ = ["ciwae"]


def weights(t: Trace, *, beta: float) -> Tensor:
    """Returns the weights with which samples are averaged, (K, B): part uniform."""
    return beta * t.share + (1 - beta) * t.importance


@declare(importance=weights, price=None)
def ciwae(t: Trace, *, beta: float) -> Tensor:
    r"""`beta` of the ELBO and 1 - `beta` of the importance-weighted bound, of the same samples.

    .. math:: \beta \, \tfrac1K \sum_k \log w_k + (1 - \beta) \log \tfrac1K \sum_k w_k

    Both are of the sampled log-weights, so that no datum's value leaves the interval between
    them. It is a bound for each `beta` from 0, which is `iwae`, to 1.

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), section 5
        | https://arxiv.org/abs/1802.04537

    Arguments:
        t: A trace with K samples.
        beta: The part of the ELBO.

    Returns:
        The bound in nats, (B,).
    """
    return beta * (t.average(t.log_weight) - t.penalty) + (1 - beta) * iwae(t)
