r"""Codes that are points, and a model of them that was fitted afterwards.

.. math:: u \sim p(u), \qquad z \sim p(z \mid u), \qquad x \sim p_\theta(x \mid z)

An autoencoder is sampled so. It still has no likelihood of x, as a point is no density of codes.

Shapes: K posterior samples, B batch, D latent elements.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..model import Inferred, LatentModel
from ..noise import FRESH, Noise
from .amortized import Amortized

__all__ = ["Modelled"]


class Modelled(nn.Module):
    """The points of an autoencoder, which charge nothing, and what draws others like them.

    Arguments:
        points: The autoencoder's latent, without a prior.
        prior: A model whose data are z.
    """

    deterministic, generates = True, True

    def __init__(self, points: Amortized, prior: LatentModel) -> None:
        super().__init__()
        self.points, self.prior = points, prior
        self.groups = points.groups

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns the point of each datum, K times."""
        return self.points(x, c, k, noise)

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns n draws of the model, (n, D)."""
        return self.prior.sample(n, c, noise=noise).sample((), noise)

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns z itself: the likelihood reads the point."""
        return self.points.assemble(z, c)
