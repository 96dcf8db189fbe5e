"""A learned mixture of normals as prior.

Shapes: M components, D latent elements.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Mixture, Normal
from ..distributions.scales import above
from ..errors import DiaboloError
from ..spec import Spec

__all__ = ["NormalMixture", "mixture"]

FLOOR = 1e-3


class NormalMixture(nn.Module):
    """p(z) = sum_m w_m N(mean_m, diagonal covariance_m), whatever the condition.

    Arguments:
        size: The number D of latent elements.
        components: The number M of components.

    Raises:
        DiaboloError: If there is no component.
    """

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        if components < 1:
            raise DiaboloError(f"A mixture needs at least 1 component, but got {components}.")
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, size))
        self.log_scale = nn.Parameter(torch.zeros(components, size))

    def forward(self, c: Tensor | None = None) -> Mixture:
        """Returns the density of z (D,), without a batch axis."""
        return Mixture(self.logits, Normal(self.loc, above(self.log_scale, FLOOR), 1))


def mixture(
    latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec, components: int = 20
) -> NormalMixture:
    """Returns a learned mixture of normals.

    Arguments:
        latent: The number D of latent elements.
        condition: Unused: the same prior holds for every condition.
        posterior: Unused.
        spec: Unused.
        components: The number of normals that are mixed.
    """
    return NormalMixture(latent, components)
