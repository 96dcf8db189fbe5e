"""A normal prior whose mean and scale a network reads from the condition."""

from __future__ import annotations

from torch import Tensor, nn

from ..distributions import Distribution
from ..distributions.normal import NormalFamily
from ..errors import DiaboloError
from ..model import Conditional
from ..nets.mlp import mlp
from ..spec import Spec

__all__ = ["ConditionalPrior", "conditional"]


class ConditionalPrior(nn.Module):
    """p(z | c) = N(mean(c), diagonal covariance(c)).

    Arguments:
        density: Maps a condition (B, C) to the density of z.
    """

    def __init__(self, density: Conditional) -> None:
        super().__init__()
        self.density = density

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Returns the density of z (D,), with the batch shape (B,) of c."""
        if c is None:
            raise DiaboloError("A prior p(z | c) needs a condition for each datum.")
        return self.density(c)


def conditional(
    latent: int,
    condition: int = 0,
    *,
    posterior: nn.Module,
    spec: Spec,
    hidden: tuple[int, ...] = (128,),
) -> ConditionalPrior:
    """Returns a learned prior p(z | c).

    References:
        | Learning Structured Output Representation using Deep Conditional Generative Models
        | (Sohn, Lee & Yan, 2015), section 4.1

    Arguments:
        latent: The number D of latent elements.
        condition: The width C of the condition, at least 1.
        posterior: Unused.
        spec: Unused.
        hidden: The widths of the network's layers.

    Raises:
        DiaboloError: If there is no condition.
    """
    if condition < 1:
        raise DiaboloError(
            "The prior 'conditional' reads a condition, but this model has none: give a condition "
            "(labels, say), or use another prior."
        )
    net = mlp((condition,), (2 * latent,), hidden=tuple(hidden))
    return ConditionalPrior(Conditional(net, NormalFamily(), (latent,)))
