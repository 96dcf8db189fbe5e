r"""The Pareto shape of importance weights: whether their mean can be trusted at all.

The largest weights are fitted by a generalised Pareto law. Its shape :math:`\hat\kappa` tells how
many moments the weights have: below 0.5 their variance is finite, above 0.7 no practical number
of samples is enough.

Shapes: K posterior samples, B batch, M weights of the tail.

References:
    | Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024), section 3
    | https://arxiv.org/abs/1507.02646
    | A New and Efficient Estimation Method for the Generalized Pareto Distribution
    | (Zhang & Stephens, 2009), https://doi.org/10.1198/tech.2009.08017
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["TailWeights", "pareto_shape"]

SMALLEST = 100  # with fewer samples the tail has fewer than 20 members, which tell little


def pareto_shape(log_weight: Tensor) -> Tensor:
    """Returns the Pareto shape of weights (K, B), (B,); NaN for fewer than 100 samples."""
    tail = TailWeights(len(log_weight))
    tail.add(log_weight)
    return tail.shape()


class TailWeights:
    """The largest log-weights of each datum, gathered from chunks.

    Arguments:
        k: How many weights there are in all.
    """

    def __init__(self, k: int) -> None:
        self.count = min(k // 5, math.ceil(3 * math.sqrt(k))) if k >= SMALLEST else 0
        self.largest: Tensor | None = None
        self.lead: tuple[int, ...] = ()

    def add(self, log_weight: Tensor) -> None:
        """Takes log-weights (K, B)."""
        if not self.count:
            self.largest = log_weight[:0]
            return
        if self.largest is not None:
            log_weight = torch.cat([self.largest, log_weight])
        keep = min(self.count + 1, len(log_weight))
        self.largest = log_weight.topk(keep, dim=0).values

    def shape(self) -> Tensor:
        """Returns the shape, (B,); NaN for a short tail, and for equal weights, minus infinity."""
        assert self.largest is not None
        if not self.count:
            return self.largest.new_full(self.largest.shape[1:], math.nan)
        weight = (self.largest - self.largest[0]).exp().flip(0)  # ascending, (M + 1, B)
        excess = weight[1:] - weight[0]  # over the threshold, the largest weight outside
        found = _zhang_stephens(excess)
        # A tail without width has no shape: the mean of such weights is safe.
        return torch.where(excess[-1] > 1e-12, found, -math.inf)


def _zhang_stephens(x: Tensor) -> Tensor:
    """The shape of a generalised Pareto law from ascending values (M, B): posterior mean."""
    m = len(x)
    grid = 30 + int(math.sqrt(m))
    quarter = x[int(m / 4 + 0.5) - 1].clamp(min=1e-300)
    steps = torch.arange(1, grid + 1, dtype=x.dtype, device=x.device)[:, None]
    b = (1 - torch.sqrt(grid / (steps - 0.5))) / (3 * quarter) + 1 / x[-1].clamp(min=1e-300)
    kappa = torch.log1p(-b[:, None] * x).mean(1)  # (grid, B)
    profile = m * (torch.log(-b / kappa) - kappa - 1)
    weight = profile.nan_to_num(-math.inf, neginf=-math.inf).softmax(0)
    shape = torch.log1p(-(weight * b).sum(0) * x).mean(0)
    # A weak prior at one half steadies short tails (Vehtari et al., appendix C).
    return (shape * m + 0.5 * 10) / (m + 10)
