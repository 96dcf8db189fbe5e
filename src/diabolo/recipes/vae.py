r"""Variational autoencoder.

.. math::
    z \sim p(z), \qquad x \sim p_\theta(x \mid z), \qquad
    q_\phi(z \mid x) = \mathcal{N}(\mu_\phi(x), \sigma_\phi^2(x))

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
    | https://arxiv.org/abs/1312.6114
    | Tutorial on Variational Autoencoders (Doersch, 2016)
    | https://arxiv.org/abs/1606.05908
"""

from __future__ import annotations

from ..latents import Amortized
from ..model import LatentModel, Recipe
from ..nets import Net
from ..objectives import elbo
from ..posteriors import POSTERIORS
from ..priors import PRIORS
from ..spec import Spec
from . import _parts as parts

__all__ = ["vae"]


def vae(
    spec: Spec,
    *,
    latent: int = 32,
    net: Net | None = None,
    decoder: Net | None = None,
    likelihood: parts.Likelihood | None = None,
    prior: str = "normal",
    posterior: str = "normal",
    k: int = 1,
) -> Recipe:
    """A Gaussian latent, inferred and decoded by networks, trained on the ELBO.

    Arguments:
        spec: What is known of the data.
        latent: The number D of latent elements.
        net: The encoder and, unless `decoder` is given, the decoder: a network's name with
            options, such as `mlp(hidden=(512, 512))`; None follows the data's shape.
        decoder: The decoder, where it differs from `net`.
        likelihood: The family of p(x | z) with options; None follows the data's support.
        prior: The prior p(z) with options.
        posterior: The posterior q(z | x) with options.
        k: Posterior samples for each datum; their mean takes noise from the gradient.
    """
    parts.at_least(1, latent=latent, k=k)
    net, decoder = parts.nets(spec, net, decoder)
    view, seen = parts.view(spec)
    q = POSTERIORS.build(posterior, seen, latent, spec.condition, net=net, view=view, spec=spec)
    p = PRIORS.build(prior, latent, spec.condition, posterior=q, spec=spec)
    px = parts.likelihood(spec, likelihood, decoder, latent)
    model = LatentModel(view, Amortized(q, p, latent), px, condition=spec.condition)
    return Recipe(model, elbo, k)
