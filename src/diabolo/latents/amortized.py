"""q(z | x, c) from a network, p(z | c) from any module that returns a density.

Autoencoders are the case of a point posterior (`Dirac`) and a prior that charges nothing.

Shapes: K posterior samples, B batch, D latent shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import draw, space_of
from ..errors import DiaboloError
from ..model import Draw, Inferred
from ..noise import FRESH, Noise
from ._meeting import meeting

__all__ = ["Amortized"]


class Amortized(nn.Module):
    """One group of latents, inferred in one pass of a network.

    Arguments:
        posterior: Maps what the encoder sees, and c, to q(z | x, c).
        prior: Maps c to p(z | c); None where there is none to sample from.
        size: The number D of latent elements.
        point: Whether the posterior is a point, which has no density and so charges nothing; it is
            one where there is no prior.

    Raises:
        DiaboloError: If posterior and prior are densities on different spaces.
    """

    def __init__(
        self, posterior: nn.Module, prior: nn.Module | None, size: int, *, point: bool = False
    ) -> None:
        super().__init__()
        self.posterior, self.prior = posterior, prior
        self.groups, self.deterministic = (size,), point or prior is None
        self.generates = prior is not None
        self.space = space_of(posterior) if prior is None else meeting(posterior, prior)

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K samples for each datum, with both densities of each."""
        q = self.posterior(x, c)
        z, log_q = q.rsample_and_log_prob((k,), noise)
        if self.prior is None or self.deterministic:  # a point has no density: it charges nothing
            zero = torch.zeros_like(log_q)
            return Inferred(self.space.scaled(z), (Draw(z, zero, zero),), z.new_zeros(()))
        p = self.prior(c)
        draws = (Draw(z, log_q, p.log_prob(z), q, p),)
        return Inferred(self.space.scaled(z), draws, z.new_zeros(()))

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns what the likelihood reads of n draws of the prior, (n, D).

        Raises:
            DiaboloError: If there is no prior.
        """
        if self.prior is None:
            raise DiaboloError(
                "An autoencoder has no prior to sample from: it encodes and decodes. Fit one to "
                "its codes, run.refit(prior='mixture'), or use the recipe 'vae' to generate."
            )
        return self.space.scaled(draw(self.prior(c), n, noise))

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns what the likelihood reads: the point of the space next to z, scaled."""
        return self.space.scaled(self.space.project(z))
