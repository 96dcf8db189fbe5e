"""Whether a prior and a posterior can be compared at all."""

from __future__ import annotations

from torch import nn

from ..distributions import Space, space_of
from ..errors import DiaboloError

__all__ = ["meeting"]


def meeting(posterior: nn.Module, prior: nn.Module) -> Space:
    """Returns the space on which both are densities.

    Raises:
        DiaboloError: If there is none: q and p then have no ratio.
    """
    left, right = space_of(posterior), space_of(prior)
    if left != right:
        raise DiaboloError(
            f"This posterior gives {left}, but its prior {right}: the one has no density with "
            "respect to the other. Take prior=uniform_sphere with posterior=vmf, and only there."
        )
    return left
