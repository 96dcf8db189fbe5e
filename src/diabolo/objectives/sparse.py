"""A target for the part of the data for which each element of a code is on.

Shapes: K posterior samples, B batch, D elements of the code.
"""

from __future__ import annotations

import math

from torch import Tensor

from ..model import Trace
from ..ranks import batch_mean
from .base import declare
from .elbo import elbo

__all__ = ["sparse"]

EDGE = 1e-6  # of the activities that are told apart from 0 and 1, where the divergence is infinite


@declare(batch_level=True, gathers=True, surrogate=True, groups=1)
def sparse(t: Trace, *, target: float, price: float | Tensor = 1.0) -> Tensor:
    r"""ELBO less a price of being on too often, or too seldom, judged on the batch.

    .. math::
        \lambda \sum_j \mathrm{KL}(\rho \,\|\, m_j) + \mathrm{KL}(\rho \,\|\, a_j), \qquad
        m_j = \mathbb{E}[z_j], \quad a_j = \frac{\mathbb{E}[z_j]^2}{\mathbb{E}[z_j^2]}

    with the divergence of two coins. The mean activation m alone is the charge of Ng; a code that
    hardly moves from the target pays nothing of it, and the decoder multiplies what is left. The
    activity a of Treves and Rolls is the part of the time for which an element is on: it does not
    change with the element's scale, and it is 1 for one that does not move. Both are the target
    only for elements that are either 0 or 1.

    References:
        | Sparse Autoencoder (Ng, 2011), CS294A lecture notes
        | What determines the capacity of autoassociative memories in the brain?
        | (Treves & Rolls, 1991), https://doi.org/10.1088/0954-898X_2_4_004

    Arguments:
        t: A trace with one latent group, of elements between 0 and 1.
        target: The part of the data for which an element is to be on, rho.
        price: Nats for each nat of divergence.

    Returns:
        The objective in nats, (B,); no bound.
    """
    z = t.average(t.draws[0].z).flatten(1)  # (B, D)
    mean = batch_mean(z, 0).clamp(EDGE, 1 - EDGE)
    square = batch_mean(z.square(), 0).clamp(min=EDGE**2)
    activity = (mean.square() / square).clamp(EDGE, 1 - EDGE)
    return elbo(t) - price * (_coins(target, mean) + _coins(target, activity)).sum()


def _coins(p: float, q: Tensor) -> Tensor:
    """The divergence of a coin q from a coin p, in nats."""
    return p * (math.log(p) - q.log()) + (1 - p) * (math.log1p(-p) - (-q).log1p())
