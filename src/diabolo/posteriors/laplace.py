"""The Laplace posterior."""

from __future__ import annotations

from ..distributions.laplace import LaplaceFamily
from ..model import Conditional
from ..nets import Net
from ._independent import independent

__all__ = ["laplace"]


def laplace(inputs: tuple[int, ...], latent: int, condition: int = 0, *, net: Net) -> Conditional:
    """Returns q(z | x, c) with independent Laplace elements, location and scale from one network.

    Arguments:
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with 2 D outputs.
    """
    return independent(LaplaceFamily(), inputs, latent, condition, net)
