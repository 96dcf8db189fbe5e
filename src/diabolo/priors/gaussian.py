r"""A normal prior with a mean and a full covariance of its own.

.. math:: p(z) = \mathcal{N}(\mu, L L^\top)

Shapes: n codes, D latent elements.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import MultivariateNormal
from ..spec import Spec
from ._fitted import Closed

__all__ = ["Gaussian", "gaussian"]

LEAST = 1e-6  # of the mean variance of all directions: the least variance of one


class Gaussian(Closed):
    """p(z) = N(mean, covariance), whatever the condition.

    Arguments:
        size: The number D of latent elements.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(size))
        # Below the diagonal the factor L itself, on it the logarithms of L's diagonal.
        self.raw = nn.Parameter(torch.zeros(size, size))

    def forward(self, c: Tensor | None = None) -> MultivariateNormal:
        """Returns the density of z (D,), without a batch axis."""
        factor = self.raw.tril(-1) + self.raw.diagonal().exp().diag()
        return MultivariateNormal(self.loc, factor)

    @property
    def least(self) -> int:
        """D + 2 data, of which one more than a covariance needs to have an inverse."""
        return len(self.loc) + 2

    @torch.no_grad()
    def fit(self, z: Tensor, seed: int) -> None:
        """Takes the mean and covariance of codes (n, D), under which they are most likely."""
        z = z.double()
        loc = z.mean(0)
        values, turn = torch.linalg.eigh((z - loc).T @ (z - loc) / len(z))
        least = (LEAST * values.mean()).clamp(min=1e-12)  # where codes lie in a plane
        factor = torch.linalg.cholesky((turn * values.clamp(min=least)) @ turn.T)
        self.loc.copy_(loc)
        self.raw.copy_(factor.tril(-1) + factor.diagonal().log().diag())


def gaussian(latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec) -> Gaussian:
    """Returns a learned normal prior with a full covariance; it starts as the standard one.

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020), section 4
        | https://arxiv.org/abs/1903.12436

    Arguments:
        latent: The number D of latent elements.
        condition: Unused: the same prior holds for every condition.
        posterior: Unused.
        spec: Unused.
    """
    return Gaussian(latent)
