"""A flow of affine couplings as prior.

Shapes: B batch, D latent elements, C condition width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Couplings, Flowed, Normal
from ..spec import Spec

__all__ = ["FlowPrior", "flow"]


class FlowPrior(nn.Module):
    """p(z | c): standard normal numbers pushed through couplings that read the condition.

    Arguments:
        size: The number D of latent elements.
        condition: The width C of the condition, 0 for none.
        transforms: The number of couplings.
        hidden: The widths of their networks' layers.
    """

    zero: Tensor

    def __init__(
        self, size: int, condition: int = 0, *, transforms: int = 8, hidden: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.couplings = Couplings(size, condition, transforms=transforms, hidden=hidden)
        self.register_buffer("zero", torch.zeros(size), persistent=False)

    def forward(self, c: Tensor | None = None) -> Flowed:
        """Returns the density of z (D,), with the batch shape (B,) of c where it is given."""
        zero = self.zero if c is None else self.zero.expand(c.shape[0], -1)
        return Flowed(Normal(zero, self.zero, 1), self.couplings, c)


def flow(
    latent: int,
    condition: int = 0,
    *,
    posterior: nn.Module,
    spec: Spec,
    transforms: int = 8,
    hidden: tuple[int, ...] = (128, 128),
) -> FlowPrior:
    """Returns a flow prior, learned with the model; it reads the condition where there is one.

    References:
        | Variational Lossy Autoencoder (Chen et al., 2017), section 3.2
        | https://arxiv.org/abs/1611.02731
        | Density estimation using Real NVP (Dinh et al., 2017)
        | https://arxiv.org/abs/1605.08803

    Arguments:
        latent: The number D of latent elements, at least 2.
        condition: The width C of the condition.
        posterior: Unused.
        spec: Unused.
        transforms: The number of affine couplings.
        hidden: The widths of their networks' layers.
    """
    return FlowPrior(latent, condition, transforms=transforms, hidden=tuple(hidden))
