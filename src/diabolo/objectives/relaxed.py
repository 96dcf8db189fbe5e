"""The evidence lower bound, read of codes that are not quite values of z.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .base import declare
from .elbo import elbo

__all__ = ["relaxed"]


@declare(surrogate=True)
def relaxed(t: Trace) -> Tensor:
    """ELBO of a trace whose codes lie between the values of a discrete z; no bound.

    The rate is that of the discrete densities, as in the reference; what is decoded is a code
    that no z has, so that the sum bounds nothing.

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 4.2
        | https://arxiv.org/abs/1611.01144

    Arguments:
        t: A trace of relaxed codes.

    Returns:
        The objective in nats, (B,).
    """
    return elbo(t)
