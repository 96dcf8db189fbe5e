r"""Two-layer VAE: the prior of the first latent is a VAE of its own.

.. math::
    z_2 \sim p(z_2), \qquad z_1 \sim p_\theta(z_1 \mid z_2), \qquad x \sim p_\theta(x \mid z_1),
    \qquad q = q_\phi(z_1 \mid x) \, q_\phi(z_2 \mid z_1)

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), the model of 2 layers
    | https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

from ..errors import DiaboloError
from ..latents import Amortized, Nested
from ..model import LatentModel, Recipe
from ..nets import Net
from ..objectives import iwae
from ..posteriors import POSTERIORS
from ..priors import PRIORS
from ..spec import Spec
from ..views import View
from . import _parts as parts

__all__ = ["hierarchical"]


def hierarchical(
    spec: Spec,
    *,
    latent: int = 64,
    top: int = 32,
    net: Net | None = None,
    decoder: Net | None = None,
    inner: str = "mlp(hidden=(256, 256))",
    likelihood: parts.Likelihood | None = None,
    prior: str = "normal",
    posterior: str = "normal",
    warmup: float = 0.3,
    k: int = 1,
) -> Recipe:
    """A nested VAE, on the ELBO or, with `k` above 1, on the importance-weighted bound.

    Arguments:
        spec: What is known of the data.
        latent: The number of elements of z1, which x depends on.
        top: The number of elements of z2.
        net: The encoder of x and, unless `decoder` is given, the decoder of x.
        decoder: The decoder of x, where it differs from `net`.
        inner: The networks between z1 and z2, both ways.
        likelihood: The family of p(x | z1) with options; None follows the data's support.
        prior: The prior p(z2) with options.
        posterior: The posteriors of z1 and z2 with options.
        warmup: The part of training over which the price of the rate rises from 0 to 1.
        k: Posterior samples for each datum; above 1, with `warmup=0`.
    """
    parts.at_least(1, latent=latent, top=top, k=k)
    objective = parts.warmed(warmup)
    if k > 1:
        if warmup:
            raise DiaboloError(
                f"The importance-weighted bound has no warm-up: with k={k}, set warmup=0."
            )
        objective = iwae
    net, decoder = parts.nets(spec, net, decoder)
    within = Spec(event=(latent,), condition=spec.condition)
    q = POSTERIORS.build(posterior, within.event, top, within.condition, net=inner)
    p = PRIORS.build(prior, top, within.condition, posterior=q, spec=within)
    between = parts.likelihood(within, "Normal", inner, top)
    nested = LatentModel(
        View(within.event), Amortized(q, p, top), between, condition=within.condition
    )
    view, seen = parts.view(spec)
    first = POSTERIORS.build(posterior, seen, latent, spec.condition, net=net, view=view, spec=spec)
    px = parts.likelihood(spec, likelihood, decoder, latent)
    latents = Nested(first, nested, latent)
    model = LatentModel(view, latents, px, condition=spec.condition)
    return Recipe(model, objective, k)
