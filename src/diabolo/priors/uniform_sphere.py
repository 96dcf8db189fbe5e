"""The uniform prior on the unit sphere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import SPHERE, VonMisesFisher
from ..errors import DiaboloError
from ..spec import Spec

__all__ = ["UniformSphere", "uniform_sphere"]


class UniformSphere(nn.Module):
    """p(z) even on the unit sphere of R^D, whatever the condition.

    Arguments:
        size: The number D of latent elements.
    """

    space = SPHERE
    pole: Tensor
    none: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("pole", torch.eye(size)[0], persistent=False)
        self.register_buffer("none", torch.zeros(1), persistent=False)

    def forward(self, c: Tensor | None = None) -> VonMisesFisher:
        """Returns the density of z (D,), without a batch axis: no concentration about any pole."""
        return VonMisesFisher(self.pole, self.none)


def uniform_sphere(
    latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec
) -> UniformSphere:
    """Returns the uniform prior on the sphere, for posteriors that lie there.

    References:
        | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018), section 3.1
        | https://arxiv.org/abs/1804.00891

    Arguments:
        latent: The number D of latent elements, at least 2.
        condition: Unused: the same prior holds for every condition.
        posterior: Unused.
        spec: Unused.

    Raises:
        DiaboloError: If there are fewer than 2 elements.
    """
    if latent < 2:
        raise DiaboloError(
            f"The prior 'uniform_sphere' needs at least 2 latent elements, but got {latent}."
        )
    return UniformSphere(latent)
