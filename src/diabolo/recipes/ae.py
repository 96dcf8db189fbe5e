r"""Autoencoder.

.. math:: z = f_\phi(x), \qquad x \sim p_\theta(x \mid z)

References:
    | Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006)
    | https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

from ..distributions.dirac import DiracFamily
from ..latents import Amortized
from ..model import Conditional, LatentModel, Recipe
from ..nets import NETS, Net
from ..objectives import elbo
from ..spec import Spec
from . import _parts as parts

__all__ = ["ae"]


def ae(
    spec: Spec,
    *,
    latent: int = 32,
    net: Net | None = None,
    decoder: Net | None = None,
    likelihood: parts.Likelihood | None = None,
) -> Recipe:
    """A code that is a function of x; no prior, hence no samples and no likelihood of x.

    Arguments:
        spec: What is known of the data.
        latent: The width D of the code.
        net: The encoder and, unless `decoder` is given, the decoder: a network's name with
            options, or the user's own module; None follows the data's shape.
        decoder: The decoder, where it differs from `net`.
        likelihood: The family of p(x | z) with options; None follows the data's support.
    """
    parts.at_least(1, latent=latent)
    net, decoder = parts.nets(spec, net, decoder)
    view, seen = parts.view(spec)
    body = NETS.module(net, seen, (latent,), spec.condition)
    code = Conditional(body, DiracFamily(), (latent,), inputs=len(seen))
    px = parts.likelihood(spec, likelihood, decoder, latent)
    model = LatentModel(view, Amortized(code, None, latent), px, condition=spec.condition)
    return Recipe(model, elbo)
