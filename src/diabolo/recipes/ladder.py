r"""A small ladder VAE: inference and generation share their way down.

.. math::
    z_l \sim p_\theta(z_l \mid z_{<l}), \qquad q = \prod_l q_\phi(z_l \mid z_{<l}, x), \qquad
    x \sim p_\theta(x \mid z_1, \dots, z_L)

References:
    | Ladder Variational Autoencoders (Sønderby et al., 2016)
    | https://arxiv.org/abs/1602.02282
    | NVAE: A Deep Hierarchical Variational Autoencoder (Vahdat & Kautz, 2020)
    | https://arxiv.org/abs/2007.03898
"""

from __future__ import annotations

from torch import nn

from ..distributions.normal import NormalFamily
from ..latents import Step, TopDown
from ..model import Conditional, LatentModel, Recipe
from ..nets import NETS, Net, keep_size
from ..spec import Spec
from . import _parts as parts

__all__ = ["ladder"]


def ladder(
    spec: Spec,
    *,
    latent: int = 16,
    layers: int = 3,
    width: int = 128,
    net: Net | None = None,
    decoder: Net | None = None,
    likelihood: parts.Likelihood | None = None,
    warmup: float = 0.3,
) -> Recipe:
    """Groups of latents from the most general down, each with a learned prior given those above.

    Arguments:
        spec: What is known of the data.
        latent: The number of elements of each group.
        layers: The number of groups.
        width: The width of the features and of the state between the groups.
        net: The encoder of x and, unless `decoder` is given, the decoder.
        decoder: The decoder, where it differs from `net`.
        likelihood: The family of p(x | z) with options; None follows the data's support.
        warmup: The part of training over which the price of the rate rises from 0 to 1; without
            it the upper groups stay empty (Sønderby et al., 2016, section 2.2).
    """
    parts.at_least(1, latent=latent, layers=layers, width=width)
    objective = parts.warmed(warmup)
    net, decoder = parts.nets(spec, net, decoder)
    view, seen = parts.view(spec)

    def normal(inputs: int) -> Conditional:
        body = NETS.build(f"mlp(hidden=({width},))", (inputs,), (2 * latent,), spec.condition)
        return Conditional(body, NormalFamily(), (latent,))

    def dense(inputs: int) -> nn.Module:
        layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        return keep_size(layers)

    steps = [
        Step(normal(width), normal(2 * width), dense(width + latent), latent) for _ in range(layers)
    ]
    ascend = [nn.Sequential(nn.GELU(), dense(width)) for _ in range(layers - 1)]
    bottom = NETS.module(net, seen, (width,), spec.condition)
    latents = TopDown(bottom, ascend, steps, width)
    px = parts.likelihood(spec, likelihood, decoder, width)
    return Recipe(LatentModel(view, latents, px, condition=spec.condition), objective)
