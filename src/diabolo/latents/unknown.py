"""Conditions that may be left out: dropped at times in training, and then known to be unknown.

Shapes: B batch, C condition width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..noise import Noise

__all__ = ["Unknown"]


class Unknown(nn.Module):
    """Appends a channel that is 1 where the condition is not known, and 0 elsewhere.

    With it one model holds p(x | c) and p(x). A condition of zeros alone would not do: it may be
    a condition like any other.

    Arguments:
        condition: The width C of the condition.
        dropout: The probability with which a datum's condition is dropped in training.
    """

    def __init__(self, condition: int, dropout: float) -> None:
        super().__init__()
        self.condition, self.dropout = condition, dropout

    def forward(self, c: Tensor | None, n: int, like: Tensor, noise: Noise) -> Tensor:
        """Returns conditions (n, C + 1) from c (n, C), or from None where none is known."""
        if c is None:
            return torch.cat([like.new_zeros(n, self.condition), like.new_ones(n, 1)], dim=1)
        gone = c.new_zeros(n, 1)
        if self.training:
            gone = (noise.uniform((1, n, 1), c)[0] < self.dropout).to(c.dtype)
        return torch.cat([torch.where(gone > 0, 0.0, c), gone], dim=1)
