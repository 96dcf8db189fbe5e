"""What priors have in common when they are fitted to codes afterwards.

Shapes: n codes, D latent elements.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ..distributions import Distribution, Standardized

__all__ = ["Closed", "Placed", "placed"]


def placed(z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean and the scale (D,) of codes (n, D); 1 where an element does not move."""
    scale = z.std(0, correction=0)
    return z.mean(0), torch.where(scale > 0, scale, 1.0)


class Closed(nn.Module):
    """A prior that finds its parameters without the training loop."""

    closed: ClassVar[bool] = True

    @property
    def least(self) -> int:
        """How many data must have given the codes, lest it fit single ones of them."""
        raise NotImplementedError

    def fit(self, z: Tensor, seed: int) -> None:
        """Takes the parameters that fit codes (n, D); the seed is that of what is drawn."""
        raise NotImplementedError


class Placed(nn.Module):
    """A prior in units of the codes, whatever scale the encoder gave them.

    Arguments:
        prior: The prior of (z - loc) / scale.
        loc: The mean of the codes, (D,).
        scale: Their standard deviations, (D,).
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, prior: nn.Module, loc: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.prior, self.closed = prior, getattr(prior, "closed", False)
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)

    @property
    def least(self) -> int:
        """That of the prior, if it is `Closed`."""
        return cast("Closed", self.prior).least

    def fit(self, z: Tensor, seed: int) -> None:
        """Fits the prior to codes (n, D), if it is `Closed`."""
        cast("Closed", self.prior).fit((z - self.loc) / self.scale, seed)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Returns the density of z."""
        return Standardized(self.prior(c), self.loc, self.scale)
