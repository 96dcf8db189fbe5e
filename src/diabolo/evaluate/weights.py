"""Importance weights of each datum, gathered part by part: their mean and how far it is known.

Shapes: K samples, B batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .pareto import TailWeights

__all__ = ["Weights"]


class Weights:
    """Sums of k weights and of their squares for each datum, as logarithms.

    Arguments:
        k: How many weights there are in all.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.tail = TailWeights(k)

    def add(self, log_weight: Tensor) -> None:
        """Takes log-weights (K, B)."""
        first, second = log_weight.logsumexp(0), (2 * log_weight).logsumexp(0)
        self.first = first if self.first is None else torch.logaddexp(self.first, first)
        self.second = second if self.second is None else torch.logaddexp(self.second, second)
        self.tail.add(log_weight)

    def summary(self) -> Tensor:
        """Returns log-mean weight, its variance, effective sample size, Pareto shape, (4, B)."""
        assert self.first is not None
        assert self.second is not None
        value = self.first - math.log(self.k)
        none = self.first.isneginf()  # every weight is 0: no sample explains x at all
        squares = torch.exp(self.second - 2 * self.first)  # sum w^2 / (sum w)^2, 1/k .. 1
        squares = torch.where(none, math.inf, squares)
        variance = (squares - 1 / self.k).clamp(min=0) * (self.k / max(self.k - 1, 1))
        shape = torch.where(none, math.nan, self.tail.shape())
        return torch.stack([value, variance, 1 / squares, shape])
