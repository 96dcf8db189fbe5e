"""The von Mises-Fisher posterior: codes on the unit sphere.

Shapes: B batch, I shape of what the encoder sees, D latent elements.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..distributions import SPHERE, VonMisesFisher
from ..distributions.scales import FLOOR, above
from ..errors import DiaboloError
from ..nets import NETS, Net
from ..spec import Spec
from ..views import Viewing
from ._raw import raw_of

__all__ = ["SpherePosterior", "vmf"]


class SpherePosterior(nn.Module):
    """q(z | x, c) = vMF(mean direction, D / scale^2).

    For a large concentration kappa each direction across the mean has the variance 1 / kappa, and
    under the uniform density each element has 1 / D: the scale is what is left of the latter, with
    the floor that scales have elsewhere.

    Arguments:
        net: Maps (B, *I) and a condition to (B, D + 1): the mean direction, times any length, and
            the logarithm of the scale.
        size: The number D of latent elements.
    """

    space = SPHERE

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x: Tensor, c: Tensor | None = None) -> VonMisesFisher:
        """Returns the density of z (D,) with batch shape (B,)."""
        raw = raw_of(self.net, x, c, self.size + 1)
        loc, log_scale = raw.tensor_split((self.size,), dim=-1)
        concentration = self.size * (-2 * above(log_scale, FLOOR)).exp()
        return VonMisesFisher(F.normalize(loc, dim=-1), concentration)


def vmf(
    inputs: tuple[int, ...],
    latent: int,
    condition: int = 0,
    *,
    net: Net,
    view: Viewing | None = None,
    spec: Spec | None = None,
) -> SpherePosterior:
    """Returns q(z | x, c) on the unit sphere, with a mean direction and a concentration.

    References:
        | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018), section 3
        | https://arxiv.org/abs/1804.00891

    Arguments:
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements, at least 2.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with D + 1 outputs.
        view: What makes that of x; it has no part in this.
        spec: What is known of x, likewise.

    Raises:
        DiaboloError: If there are fewer than 2 elements.
    """
    if latent < 2:
        raise DiaboloError(
            f"The posterior 'vmf' needs at least 2 latent elements, but got {latent}: the sphere "
            "of one has but two points."
        )
    return SpherePosterior(NETS.module(net, inputs, (latent + 1,), condition), latent)
