"""The Laplace posterior."""

from __future__ import annotations

from ..distributions.laplace import LaplaceFamily
from ..model import Conditional
from ..nets import Net
from ..spec import Spec
from ..views import Viewing
from ._independent import independent

__all__ = ["laplace"]


def laplace(
    inputs: tuple[int, ...],
    latent: int,
    condition: int = 0,
    *,
    net: Net,
    view: Viewing | None = None,
    spec: Spec | None = None,
) -> Conditional:
    """Returns q(z | x, c) with independent Laplace elements, location and scale from one network.

    Arguments:
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with 2 D outputs.
        view: What makes that of x; it has no part in this.
        spec: What is known of x, likewise.
    """
    return independent(LaplaceFamily(), inputs, latent, condition, net)
