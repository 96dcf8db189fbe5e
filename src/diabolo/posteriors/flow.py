"""A normal posterior pushed through couplings that read features of x.

Shapes: B batch, I shape of what the encoder sees, D latent elements, H context width.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..distributions import Couplings, Flowed, Normal
from ..distributions.scales import FLOOR, above
from ..nets import NETS, Net
from ..spec import Spec
from ..views import Viewing
from ._raw import raw_of

__all__ = ["FlowPosterior", "flow"]


class FlowPosterior(nn.Module):
    """q(z | x, c): a diagonal normal density pushed through couplings.

    Arguments:
        net: Maps (B, *I) and a condition to (B, 2 D + H): mean, log-scale and context.
        couplings: The flow, with a context of width H.
        size: The number D of latent elements.
        context: The width H of the context.
    """

    def __init__(self, net: nn.Module, couplings: Couplings, size: int, context: int) -> None:
        super().__init__()
        self.net, self.couplings, self.size, self.context = net, couplings, size, context

    def forward(self, x: Tensor, c: Tensor | None = None) -> Flowed:
        """Returns the density of z (D,) with batch shape (B,)."""
        raw = raw_of(self.net, x, c, 2 * self.size + self.context)
        loc, log_scale, context = raw.tensor_split((self.size, 2 * self.size), dim=-1)
        return Flowed(Normal(loc, above(log_scale, FLOOR), 1), self.couplings, context)


def flow(
    inputs: tuple[int, ...],
    latent: int,
    condition: int = 0,
    *,
    net: Net,
    view: Viewing | None = None,
    spec: Spec | None = None,
    transforms: int = 4,
    hidden: tuple[int, ...] = (128,),
    context: int = 64,
) -> FlowPosterior:
    """Returns q(z | x, c) as a flow of affine couplings on top of a diagonal normal density.

    References:
        | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), section 3.2
        | https://arxiv.org/abs/1505.05770

    Arguments:
        inputs: The shape I of what the encoder sees.
        latent: The number D of latent elements, at least 2.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with
            2 D + context outputs.
        view: What makes that of x; it has no part in this.
        spec: What is known of x, likewise.
        transforms: The number of couplings.
        hidden: The widths of their networks' layers.
        context: The number of features of x that the couplings read.
    """
    couplings = Couplings(latent, context, transforms=transforms, hidden=tuple(hidden))
    body = NETS.module(net, inputs, (2 * latent + context,), condition)
    return FlowPosterior(body, couplings, latent, context)
