"""Independent elements, a location and a scale of each from one network."""

from __future__ import annotations

from ..distributions import Family
from ..model import Conditional
from ..nets import NETS, Net

__all__ = ["independent"]


def independent(
    family: Family, inputs: tuple[int, ...], latent: int, condition: int, net: Net
) -> Conditional:
    """Returns q(z | x, c) of a family of two raw numbers an element.

    Arguments:
        family: The densities of z.
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with 2 D outputs.
    """
    body = NETS.module(net, inputs, (2 * latent,), condition)
    return Conditional(body, family, (latent,), inputs=len(inputs))
