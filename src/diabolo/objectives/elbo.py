"""The evidence lower bound.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace

__all__ = ["elbo"]


def elbo(t: Trace, *, beta: float | Tensor = 1.0) -> Tensor:
    r"""Evidence lower bound, its rate in closed form where there is one.

    .. math:: \mathbb{E}_q[\log p(x \mid z)] - \beta \, \mathrm{KL}(q(z \mid x) \,\|\, p(z))

    A price `beta` above 1 gives a looser bound; below 1, no bound.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 3
        | https://arxiv.org/abs/1312.6114
        | beta-VAE (Higgins et al., 2017), eq. 4

    Arguments:
        t: A trace.
        beta: The price of one nat of rate.

    Returns:
        The bound in nats, (B,).
    """
    value = t.log_px
    for d in t.draws:
        value = value - beta * d.rate
    return t.average(value) - t.penalty
