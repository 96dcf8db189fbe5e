"""The evidence lower bound with a rate that is held at a capacity.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import Trace
from ..ranks import batch_mean
from .base import declare

__all__ = ["capacity"]


@declare(batch_level=True, gathers=True, surrogate=True)
def capacity(t: Trace, *, nats: float | Tensor, gamma: float) -> Tensor:
    r"""Log-likelihood with a charge for a mean rate above or below a capacity.

    .. math:: \mathbb{E}_q[\log p(x \mid z)] - \gamma \, |\bar R - C|, \qquad
        \bar R = \mathbb{E}_{\text{batch}}[\mathrm{KL}(q(z \mid x) \,\|\, p(z))]

    The rate is judged on the batch's mean, so that one datum may take more than another. Each
    datum is charged for its own rate, at the price `gamma` above the capacity and `-gamma` below;
    the mean over the batch is the formula. All groups count together.

    References:
        | Understanding disentangling in beta-VAE (Burgess et al., 2018)
        | https://arxiv.org/abs/1804.03599

    Arguments:
        t: A trace.
        nats: The capacity C.
        gamma: The price of one nat off it.

    Returns:
        The objective in nats, (B,); no bound.
    """
    rate = t.average(sum((d.rate for d in t.draws), torch.zeros_like(t.log_px)))
    side = (batch_mean(rate, 0) - nats).sign().detach()
    return t.average(t.log_px) - gamma * side * (rate - nats) - t.penalty
