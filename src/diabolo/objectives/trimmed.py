"""The evidence lower bound without the worst data of a batch.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import Trace
from ..ranks import batch_gather
from .base import declare
from .elbo import elbo

__all__ = ["trimmed"]


@declare(batch_level=True, gathers=True, surrogate=True, trims=True)
def trimmed(t: Trace, *, part: float, beta: float | Tensor = 1.0) -> Tensor:
    r"""ELBO of all data but the part of the batch whose own is lowest.

    .. math:: \frac{B}{|S|} \, 1[x \in S] \, \mathcal{L}_\beta(x), \qquad
        S = \text{all but the } \lfloor part \cdot B \rfloor \text{ lowest}

    What is left out is not learned: anomalies among the training data do not bend the fit. The mean
    over the batch is that over the data that are kept.

    References:
        | Least Median of Squares Regression (Rousseeuw, 1984), for least trimmed squares
        | https://doi.org/10.1080/01621459.1984.10477105
        | Learning with Bad Training Data via Iterative Trimmed Loss Minimization
        | (Shen & Sanghavi, 2019), algorithm 2
        | https://arxiv.org/abs/1810.11874

    Arguments:
        t: A trace.
        part: The part of a batch to leave out, rounded down to whole data.
        beta: The price of one nat of rate.

    Returns:
        The objective in nats, (B,); no bound.
    """
    value = elbo(t, beta=beta)
    whole = batch_gather(value.detach())
    least = whole.sort().values[int(part * len(whole))]
    kept = (whole >= least).to(value).sum()
    return torch.where(value.detach() >= least, value, 0.0) * (len(whole) / kept)
