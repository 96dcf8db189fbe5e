"""The standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Normal
from ..spec import Spec

__all__ = ["StandardNormal", "normal"]


class StandardNormal(nn.Module):
    """p(z) = N(0, I), whatever the condition.

    Arguments:
        size: The number D of latent elements.
    """

    zero: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(size), persistent=False)

    def forward(self, c: Tensor | None = None) -> Normal:
        """Returns the density of z (D,), without a batch axis."""
        return Normal(self.zero, self.zero, 1)


def normal(latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec) -> StandardNormal:
    """Returns the standard normal prior, which nothing else has a part in."""
    return StandardNormal(latent)
