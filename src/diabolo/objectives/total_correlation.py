"""The evidence lower bound with a price on each part of the rate.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .aggregate import Sampling, aggregate
from .base import declare
from .elbo import elbo

__all__ = ["total_correlation"]


@declare(batch_level=True, gathers=True, surrogate=True, groups=1)
def total_correlation(
    t: Trace,
    *,
    alpha: float = 1.0,
    beta: float | Tensor = 6.0,
    gamma: float = 1.0,
    data: int | None = None,
    sampling: Sampling = "stratified",
) -> Tensor:
    r"""ELBO with the three parts of its rate at prices of their own.

    .. math::
        \mathcal{L} - (\alpha - 1) \, I_q(x; z)
        - (\beta - 1) \, \mathrm{KL}\Big(q(z) \,\Big\|\, \prod_j q(z_j)\Big)
        - (\gamma - 1) \, \mathbb{E}_{q(z)} \log \frac{\prod_j q(z_j)}{p(z)}

    The parts are estimates from the batch, with the bias that `aggregate` states; what is charged
    beside the ELBO can be negative. With all prices 1 it is the ELBO.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018),
        | eq. 4, https://arxiv.org/abs/1802.04942

    Arguments:
        t: A trace of a batch, with one latent group whose posterior factorises.
        alpha: The price of one nat of information on which datum it is.
        beta: The price of one nat of total correlation.
        gamma: The price of one nat of divergence of single elements.
        data: The number N of training data; None if the batch is all there is.
        sampling: `stratified` or `weighted`.

    Returns:
        The objective in nats, (B,); no bound.

    Raises:
        DiaboloError: If there are several groups, the posterior does not factorise, or the batch
            has one datum.
    """
    parts = aggregate(t, data=data, sampling=sampling)
    more = (alpha - 1) * parts.information
    more = more + (beta - 1) * parts.correlation + (gamma - 1) * parts.marginals
    return elbo(t) - more.mean(0)
