"""The evidence lower bound with a charge for a covariance of codes that is not the identity.

Shapes: B batch, D elements of the code.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..model import Trace
from ..ranks import batch_mean, batch_sum
from .aggregate import one_group, place
from .base import declare, posterior_of
from .elbo import elbo

__all__ = ["Of", "code_covariance", "decorrelation"]

Of = Literal["mean", "code"]

WHAT = "The covariance of codes"


@declare(batch_level=True, gathers=True, surrogate=True, groups=1)
def decorrelation(t: Trace, *, off: float, diagonal: float, of: Of = "mean") -> Tensor:
    r"""ELBO less a charge for elements of the code that vary together, or not as the prior's.

    .. math::
        \lambda_{od} \sum_{i \ne j} C_{ij}^2 + \lambda_d \sum_i (C_{ii} - 1)^2

    References:
        | Variational Inference of Disentangled Latent Concepts from Unlabeled Observations
        | (Kumar, Sattigeri & Balakrishnan, 2018), eq. 6 and 7, https://arxiv.org/abs/1711.00848

    Arguments:
        t: A trace of a batch, with one latent group whose posterior factorises.
        off: Nats for each unit off the diagonal.
        diagonal: Nats for each unit on it.
        of: What C is the covariance of, see `code_covariance`.

    Returns:
        The objective in nats, (B,); no bound.

    Raises:
        DiaboloError: If there are several groups, the posterior's moments are not known, or the
            batch has one datum.
    """
    c = code_covariance(t, of=of)
    variance = c.diagonal()
    across = c - torch.diag_embed(variance)
    charge = off * across.square().sum() + diagonal * (variance - 1).square().sum()
    return elbo(t) - charge


def code_covariance(t: Trace, *, of: Of = "mean") -> Tensor:
    r"""Returns the covariance of codes over the batch, (D, D).

    .. math::
        \mathrm{Cov}_x[\mu(x)] \;\text{(mean)}, \qquad
        \mathrm{Cov}_x[\mu(x)] + \mathbb{E}_x[\mathrm{diag}\, \sigma^2(x)] \;\text{(code)}

    Sums over the batch are divided by its size, so that with the whole population it is exact.

    Raises:
        DiaboloError: As `decorrelation` does.
    """
    q = posterior_of(one_group(t, WHAT), WHAT)
    mean = q.mean.flatten(1)  # (B, D)
    _, size = place(len(mean), mean, WHAT)
    centred = mean - batch_mean(mean, 0)
    # A sum and no product of matrices, which lower precisions would round.
    c = batch_sum((centred[:, :, None] * centred[:, None, :]).sum(0)) / size
    if of == "mean":
        return c
    return c + torch.diag_embed(batch_mean(q.variance.flatten(1), 0))
