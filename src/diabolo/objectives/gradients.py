"""What estimators are made of: a gradient that is not that of the value.

Estimators may change gradients, never values.

Shapes: K posterior samples, B batch, D latent shape.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Draw, Trace
from .base import only_draw

__all__ = ["parted", "weigh_gradient", "with_gradient_of"]


def parted(t: Trace, what: str) -> Draw:
    """The one group of a trace, at whose z the gradient of the objective called `what` is parted.

    Raises:
        DiaboloError: If there are several, or z is enumerated.
    """
    why = "the gradient is parted at z, and that of one group runs through the z of another"
    return only_draw(t, what, why)


def with_gradient_of(value: Tensor, other: Tensor) -> Tensor:
    """Returns the value of one tensor with the gradient of another."""
    return value.detach() + (other - other.detach())


def weigh_gradient(z: Tensor, weight: Tensor) -> None:
    """Makes z pass on the gradient of each sample times its weight.

    It is a hook, and so for one use of a trace.

    Arguments:
        z: Samples, (K, B, *D).
        weight: (K, B), without a gradient.
    """
    if not z.requires_grad:  # evaluation has no gradient to weigh
        return
    each = weight.reshape(*weight.shape, *[1] * (z.ndim - 2))

    def weigh(gradient: Tensor) -> Tensor:
        return gradient * each

    z.register_hook(weigh)
