"""What estimators are made of: a gradient that is not that of the value.

Estimators may change gradients, never values.

Shapes: K posterior samples, B batch, D latent shape.
"""

from __future__ import annotations

from torch import Tensor

from ..errors import DiaboloError
from ..model import Draw, Trace

__all__ = ["only_draw", "sampled", "weigh_gradient", "with_gradient_of"]


def only_draw(t: Trace, what: str) -> Draw:
    """The one group of a trace, which the objective called `what` is made for.

    Raises:
        DiaboloError: If there are several, or z is enumerated.
    """
    sampled(t, what)
    if len(t.draws) != 1:
        raise DiaboloError(
            f"{what} takes models with one latent group, but this one has {len(t.draws)}: its "
            "gradient is parted at z, and that of one group runs through the z of another. Use "
            "the objective 'elbo' or 'iwae'."
        )
    return t.draws[0]


def sampled(t: Trace, what: str) -> None:
    """Refuses a trace whose z is no sample, for the objective called `what`.

    Raises:
        DiaboloError: Naming an objective that will do.
    """
    if t.log_share is not None:
        raise DiaboloError(
            f"{what} is made of samples of z, but this model goes through all values of z, each "
            "with its probability. Use the objective 'elbo', which has no error then."
        )


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
