r"""VAE with a categorical latent.

.. math::
    z_d \sim \mathrm{Cat}(\pi_d), \qquad x \sim p_\theta(x \mid z), \qquad
    q_\phi(z \mid x) = \prod_d \mathrm{Cat}(z_d; \pi_{\phi, d}(x))

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017)
    | https://arxiv.org/abs/1611.01144
    | The Concrete Distribution (Maddison, Mnih & Teh, 2017)
    | https://arxiv.org/abs/1611.00712
"""

from __future__ import annotations

from typing import Literal

import torch

from .. import objectives
from ..distributions.categorical import CategoricalFamily
from ..errors import DiaboloError
from ..latents import Discrete
from ..model import Conditional, LatentModel, Recipe
from ..nets import NETS, Net
from ..spec import Spec
from . import _parts as parts

__all__ = ["discrete_vae"]

FEW, MOST = 64, 4096  # codes that are gone through unasked, and at all


def discrete_vae(
    spec: Spec,
    *,
    latent: int = 20,
    values: int = 10,
    net: Net | None = None,
    decoder: Net | None = None,
    likelihood: parts.Likelihood | None = None,
    weights: Literal["equal", "learned"] = "equal",
    estimator: Literal["auto", "exact", "relaxed", "straight"] = "auto",
    temperature: float | None = None,
    k: int = 1,
) -> Recipe:
    """A VAE whose latent elements take one of a few values each, trained on the ELBO.

    With few codes all of them are gone through: the ELBO, its gradient and log p(x) are exact.
    With more, codes are drawn with Gumbel noise, and the gradient is that of a softmax.

    Arguments:
        spec: What is known of the data.
        latent: The number D of latent elements.
        values: The number L of values of each.
        net: The encoder and, unless `decoder` is given, the decoder.
        decoder: The decoder, where it differs from `net`.
        likelihood: The family of p(x | z) with options; None follows the data's support.
        weights: Whether p(z) is `equal` for all values, or `learned`.
        estimator: `exact`, over all L^D codes; `relaxed`, which decodes the softmax in training,
            so that the value maximised there is no bound; `straight`, which decodes what is
            drawn. `auto` is `exact` for up to 64 codes, and else `relaxed`.
        temperature: That of the softmax at the end of training, above 0 and at most 1, where it
            starts; None is 2/3. Less is less biased and noisier.
        k: Draws of z for each datum, where codes are drawn.
    """
    parts.at_least(1, latent=latent, k=k)
    parts.at_least(2, values=values)
    parts.choice(("equal", "learned"), weights=weights)
    parts.choice(("auto", "exact", "relaxed", "straight"), estimator=estimator)
    if estimator == "auto":
        estimator = "exact" if values**latent <= FEW else "relaxed"
    if estimator == "exact":
        parts.unused("estimator='exact'", temperature=temperature, k=None if k == 1 else k)
        if values**latent > MOST:
            raise DiaboloError(
                f"estimator='exact' goes through up to {MOST} codes, not through "
                f"{values}^{latent}: use fewer, or estimator='relaxed'."
            )
    end = 2 / 3 if temperature is None else temperature
    if not 0 < end <= 1:
        raise DiaboloError(f"temperature must be above 0 and at most 1, not {temperature}.")
    net, decoder = parts.nets(spec, net, decoder)
    view, seen = parts.view(spec)
    body = NETS.module(net, seen, (values * latent,), spec.condition)
    q = Conditional(body, CategoricalFamily(levels=values), (latent,), inputs=len(seen))
    latents = Discrete(q, torch.zeros(values, latent), estimator, learned=weights == "learned")
    px = parts.likelihood(spec, likelihood, decoder, values * latent)
    model = LatentModel(view, latents, px, condition=spec.condition)
    if estimator == "exact":
        return Recipe(model, objectives.elbo)
    maximised = objectives.relaxed if estimator == "relaxed" else objectives.elbo
    return Recipe(model, objectives.Cooling(maximised, latents, end=end), k)
