r"""Semi-supervised VAE, the model M2: a class, of which some are known, and a latent.

.. math::
    y \sim p(y), \quad z \sim \mathcal{N}(0, I), \quad x \sim p_\theta(x \mid y, z), \qquad
    q_\phi(y, z \mid x) = q_\phi(y \mid x) \, q_\phi(z \mid x, y)

A labelled datum has a bound on log p(x, y), and any other one on log p(x), the sum over y of it:

.. math::
    \sum_{\text{labelled}} \big[ \mathcal{L}(x, y) + a \log q_\phi(y \mid x) \big]
    + \sum_{\text{others}} \Big[ \sum_y q_\phi(y \mid x) \, \mathcal{L}(x, y)
    + \mathcal{H}(q_\phi(y \mid x)) \Big]

References:
    | Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014)
    | https://arxiv.org/abs/1406.5298
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from ..distributions.categorical import CategoricalFamily
from ..distributions.normal import NormalFamily
from ..errors import DiaboloError
from ..latents import Labelled, Unknown
from ..model import Conditional, LatentModel, Recipe
from ..nets import NETS, Net
from ..objectives import elbo
from ..priors import PRIORS
from ..spec import Spec
from . import _parts as parts

__all__ = ["m2"]

PART = 0.1  # Kingma et al.: a = 0.1 N for the mean over labelled data
LEAST = 10.0  # of small data that is too little: 56 % right on digits at 1, 94 % at 10 and at 50


def m2(
    spec: Spec,
    *,
    latent: int = 32,
    net: Net | None = None,
    decoder: Net | None = None,
    features: int = 128,
    inner: str = "mlp(hidden=(128,))",
    likelihood: parts.Likelihood | None = None,
    weights: Literal["equal", "learned"] = "equal",
    price: float | None = None,
    k: int = 1,
) -> Recipe:
    """A VAE with a class beside z, which a label names for some data and q(y | x) for the others.

    `condition="labels"` makes the labels that class; with `data.labelled="some"` they may be
    missing. It classifies, has p(x) without a label, and samples by class.

    Arguments:
        spec: What is known of the data, with labels as the condition.
        latent: The number D of elements of z.
        net: The encoder and, unless `decoder` is given, the decoder.
        decoder: The decoder, where it differs from `net`.
        features: How many features of x the encoder finds, for y and for z.
        inner: The networks from features to y, and from features and y to z.
        likelihood: The family of p(x | y, z) with options; None follows the data's support.
        weights: Whether p(y) is `equal` for all classes, or `learned`.
        price: What -log q(y | x) of a labelled datum costs, in nats for a nat; None is 0.1 N for
            N data, divided by the number of labelled ones, and 10 at least.
        k: Samples of z for each class and datum.

    Raises:
        DiaboloError: If the condition is not one label.
    """
    parts.at_least(1, latent=latent, features=features, k=k)
    parts.choice(("equal", "learned"), weights=weights)
    classes = spec.condition
    if classes < 2 or spec.unlabelled is None:
        raise DiaboloError(
            "m2 needs one label of some data as their condition: give labels and "
            "condition='labels'; data.labelled='some' lets labels be missing."
        )
    if price is None:
        price = max(LEAST, PART * spec.count / max(1, spec.count - spec.unlabelled))
    parts.at_least(0, price=price)
    net, decoder = parts.nets(spec, net, decoder)
    view, seen = parts.view(spec)
    y = Conditional(
        NETS.module(inner, (features,), (classes,)), CategoricalFamily(levels=classes), (1,)
    )
    z = Conditional(
        NETS.module(inner, (features,), (2 * latent,), classes), NormalFamily(), (latent,)
    )
    latents = Labelled(
        NETS.module(net, seen, (features,)),
        y,
        z,
        PRIORS.build("normal", latent, posterior=z, spec=spec),
        torch.zeros(classes, 1),
        latent,
        price=price,
        learned=weights == "learned",
    )
    px = parts.likelihood(replace(spec, condition=0), likelihood, decoder, classes + latent)
    model = LatentModel(view, latents, px, condition=classes, unknown=Unknown(classes, 0.0))
    return Recipe(model, elbo, k)
