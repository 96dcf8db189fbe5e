r"""Wasserstein autoencoder, with the maximum mean discrepancy.

.. math::
    \log p_\theta(x \mid z) - \lambda \, \mathrm{MMD}^2(q_\phi(z), p(z)), \qquad z = f_\phi(x),
    \quad p(z) = \mathcal{N}(0, I)

References:
    | Wasserstein Auto-Encoders (Tolstikhin et al., 2018), https://arxiv.org/abs/1711.01558
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from .. import objectives
from ..latents import Amortized
from ..model import Recipe
from ..priors import PRIORS
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .ae import ae

__all__ = ["wae"]


@extends(ae)
def wae(
    spec: Spec,
    *,
    latent: int = 32,
    price: float = 100.0,
    kernel: Literal["imq", "rbf"] = "imq",
    width: float = 1.0,
    **options: Any,
) -> Recipe:
    """An autoencoder whose codes, all data together, look like draws of N(0, I): it can be sampled.

    Its code is a point, so that it has no bound and no likelihood of x. In the paper the cost of a
    reconstruction is a squared distance; here it is -log p(x|z), in nats, and so is the price.

    Arguments:
        spec: What is known of the data.
        latent: The width D of the code: not far above what the data have, as points cannot fill
            more.
        price: Nats for each unit of the squared discrepancy, which is below 2.
        kernel: `imq`, which sees far, or `rbf`.
        width: The kernel's width, in units of the prior's standard deviation.
        options: Those of `ae`.
    """
    parts.above(0, price=price, width=width)
    parts.choice(("imq", "rbf"), kernel=kernel)
    model, _, k = ae(spec, latent=latent, **options)
    points = model.latent.posterior
    prior = PRIORS.build("normal", latent, spec.condition, posterior=points, spec=spec)
    model.latent = Amortized(points, prior, latent, point=True)
    charged = partial(objectives.discrepancy, price=price, kernel=kernel, width=width)
    return Recipe(model, charged, k)
