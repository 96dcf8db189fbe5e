"""The evidence lower bound with some rate unpaid.

Shapes: K posterior samples, B batch, D latent elements.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..model import Trace
from ..ranks import batch_mean
from .base import declare

__all__ = ["free_bits"]


@declare(batch_level=True, gathers=True, surrogate=True)
def free_bits(
    t: Trace, *, nats: float, per: str = "dimension", beta: float | Tensor = 1.0
) -> Tensor:
    r"""ELBO in which each latent may spend some rate unpaid, judged on the batch's mean.

    .. math::
        \mathbb{E}_q[\log p(x \mid z)]
        - \beta \sum_j \max(\lambda, \mathbb{E}_{\text{batch}}[\mathrm{KL}_j])

    A latent whose mean rate over the batch lies below the floor costs each datum exactly the
    floor, so that no gradient reaches its rate; above it each datum pays its own rate.

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934, section 3.3 and appendix C.8

    Arguments:
        t: A trace.
        nats: The floor of each dimension's or each group's rate.
        per: `dimension` or `group`: what the floor applies to.
        beta: The price of one nat of rate.

    Returns:
        The objective in nats, (B,); no bound.

    Raises:
        DiaboloError: If the rate of a group does not split into dimensions.
    """
    value = t.average(t.log_px)
    for i, d in enumerate(t.draws):
        if per == "group":
            rate = t.average(d.rate)[:, None]  # (B, 1)
        else:
            elements = d.rate_elements
            if elements is None:
                raise DiaboloError(
                    f"Free bits per dimension need a rate that splits into dimensions, but group "
                    f"{i + 1} has no such closed form: use per='group'."
                )
            rate = t.average(elements).flatten(1)  # (B, D)
        paid = torch.where(batch_mean(rate, 0) > nats, rate, nats)
        value = value - beta * paid.sum(1)
    return value - t.penalty
