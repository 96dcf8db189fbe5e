r"""VAE whose latents do not vary together over the data.

.. math::
    \mathcal{L} - \lambda_{od} \sum_{i \ne j} C_{ij}^2 - \lambda_d \sum_i (C_{ii} - 1)^2,
    \qquad C = \mathrm{Cov}_x[\mu_\phi(x)] \;\text{(I)}
    \quad\text{or}\quad \mathrm{Cov}_{q(z)}[z] \;\text{(II)}

References:
    | Variational Inference of Disentangled Latent Concepts from Unlabeled Observations
    | (Kumar, Sattigeri & Balakrishnan, 2018), https://arxiv.org/abs/1711.00848
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["dip_vae"]


@extends(vae, "prior")
def dip_vae(
    spec: Spec,
    *,
    kind: Literal["I", "II"] = "II",
    price: float = 2.0,
    diagonal: float | None = None,
    **options: Any,
) -> Recipe:
    """A VAE with a charge for the covariance of its codes, judged on the batch.

    Arguments:
        spec: What is known of the data.
        kind: `I` charges the covariance of posterior means; a latent that says nothing of x pays
            for its lack of variance. `II` charges that of the codes themselves.
        price: Nats for each unit off the diagonal.
        diagonal: Nats for each unit on it; None is the price. With `I` the paper takes ten times
            as much, which a short training spends on variances alone.
        options: Those of `vae` but prior, which is N(0, I); the posterior has independent elements.

    Raises:
        DiaboloError: If an option is out of range, or the posterior's elements are dependent.
    """
    parts.choice(("I", "II"), kind=kind)
    diagonal = price if diagonal is None else diagonal
    parts.above(0, price=price)
    parts.at_least(0, diagonal=diagonal)
    of = "mean" if kind == "I" else "code"
    charged = partial(objectives.decorrelation, off=price, diagonal=diagonal, of=of)
    recipe = vae(spec, **options)
    parts.independent(recipe.model.latent.posterior, "dip_vae")
    return recipe._replace(objective=charged)
