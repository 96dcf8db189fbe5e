"""Priors of independent elements with location 0 and scale 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Laplace, Logistic, Normal

__all__ = ["Standard"]

Symmetric = Normal | Laplace | Logistic


class Standard(nn.Module):
    """p(z) with independent elements of location 0 and scale 1, whatever the condition.

    Arguments:
        density: The density of an element.
        size: The number D of latent elements.
    """

    zero: Tensor

    def __init__(self, density: type[Symmetric], size: int) -> None:
        super().__init__()
        self.density = density
        self.register_buffer("zero", torch.zeros(size), persistent=False)

    def forward(self, c: Tensor | None = None) -> Symmetric:
        """Returns the density of z (D,), without a batch axis."""
        return self.density(self.zero, self.zero, 1)
