"""The importance-weighted bound.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .base import declare

__all__ = ["iwae"]


@declare(importance=True)
def iwae(t: Trace) -> Tensor:
    r"""Importance-weighted bound.

    .. math:: \log \tfrac1K \sum_k p(x, z_k) / q(z_k \mid x)

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8
        | https://arxiv.org/abs/1509.00519

    Arguments:
        t: A trace with K samples; K = 1 gives the one-sample ELBO, and all values of a discrete z
            give log p(x) itself.

    Returns:
        The bound in nats, (B,).
    """
    return t.log_average(t.log_weight) - t.penalty
