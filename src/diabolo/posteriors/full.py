"""The normal posterior with a full covariance.

Shapes: B batch, I shape of what the encoder sees, D latent elements.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..distributions import MultivariateNormal
from ..distributions.scales import FLOOR, above
from ..nets import NETS, Net
from ..spec import Spec
from ..views import Viewing
from ._raw import raw_of

__all__ = ["FullPosterior", "full"]


class FullPosterior(nn.Module):
    """q(z | x, c) = N(mean, L L^T), L with a positive diagonal and any numbers below it.

    Arguments:
        net: Maps (B, *I) and a condition to (B, 2 D + D (D - 1) / 2): the mean, the logarithms of
            the diagonal, what lies below it, row by row.
        size: The number D of latent elements.
    """

    place: Tensor

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size, self.below = net, size, size * (size - 1) // 2
        place = torch.full((size, size), self.below)  # where a zero is appended
        place[*torch.tril_indices(size, size, -1)] = torch.arange(self.below)
        self.register_buffer("place", place, persistent=False)

    def forward(self, x: Tensor, c: Tensor | None = None) -> MultivariateNormal:
        """Returns the density of z (D,) with batch shape (B,)."""
        raw = raw_of(self.net, x, c, 2 * self.size + self.below)
        loc, log_scale, below = raw.tensor_split((self.size, 2 * self.size), dim=-1)
        diagonal = torch.diag_embed(above(log_scale, FLOOR).exp())
        return MultivariateNormal(loc, diagonal + F.pad(below, (0, 1))[..., self.place])


def full(
    inputs: tuple[int, ...],
    latent: int,
    condition: int = 0,
    *,
    net: Net,
    view: Viewing | None = None,
    spec: Spec | None = None,
) -> FullPosterior:
    """Returns q(z | x, c) = N(mean, covariance), all from one network.

    It can be exact where the likelihood is normal and linear in z, as a diagonal one cannot.

    References:
        | An Introduction to Variational Autoencoders (Kingma & Welling, 2019), section 2.5.1
        | https://arxiv.org/abs/1906.02691

    Arguments:
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with
            2 D + D (D - 1) / 2 outputs.
        view: What makes that of x; it has no part in this.
        spec: What is known of x, likewise.
    """
    body = NETS.module(net, inputs, (2 * latent + latent * (latent - 1) // 2,), condition)
    return FullPosterior(body, latent)
