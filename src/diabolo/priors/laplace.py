"""The standard Laplace prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Laplace
from ..spec import Spec

__all__ = ["StandardLaplace", "laplace"]


class StandardLaplace(nn.Module):
    """p(z) with independent elements Laplace(0, 1), whatever the condition.

    Arguments:
        size: The number D of latent elements.
    """

    zero: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(size), persistent=False)

    def forward(self, c: Tensor | None = None) -> Laplace:
        """Returns the density of z (D,), without a batch axis."""
        return Laplace(self.zero, self.zero, 1)


def laplace(
    latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec
) -> StandardLaplace:
    """Returns the standard Laplace prior, which has its own axes: no rotation leaves it alone.

    With `posterior=laplace` the rate has a closed form.
    """
    return StandardLaplace(latent)
