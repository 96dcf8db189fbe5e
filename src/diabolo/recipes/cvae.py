r"""Conditional VAE: of x given a label, several labels, a vector or a picture.

.. math::
    z \sim p(z \mid c), \qquad x \sim p_\theta(x \mid z, c), \qquad z \sim q_\phi(z \mid x, c)

Structured output is the same model: x is what is to be predicted, and c is what it is predicted
from (Doersch, 2016, section 3).

References:
    | Learning Structured Output Representation using Deep Conditional Generative Models
    | (Sohn, Lee & Yan, 2015)
    | https://papers.nips.cc/paper/5775
    | Tutorial on Variational Autoencoders (Doersch, 2016)
    | https://arxiv.org/abs/1606.05908
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import DiaboloError
from ..latents import Unknown
from ..model import LatentModel, Recipe
from ..registry import extends
from ..spec import Spec
from .vae import vae

__all__ = ["cvae"]


@extends(vae)
def cvae(spec: Spec, *, dropout: float = 0.0, **options: Any) -> Recipe:
    """A VAE whose posterior and likelihood read a condition; `prior="conditional"` does too.

    Arguments:
        spec: What is known of the data, with a condition.
        dropout: The probability with which a condition is dropped in training; above 0, the
            model also works without a condition.
        options: Those of `vae`.

    Raises:
        DiaboloError: If the data have no condition.
    """
    if not spec.condition:
        raise DiaboloError(
            "A cvae needs a condition for each datum: give labels or a condition with the data."
        )
    if not 0 <= dropout < 1:
        raise DiaboloError(f"dropout is a probability in [0, 1), not {dropout}.")
    if not dropout:
        return vae(spec, **options)
    model, objective, k = vae(replace(spec, condition=spec.condition + 1), **options)
    unknown = Unknown(spec.condition, dropout)
    model = LatentModel(
        model.view, model.latent, model.likelihood, condition=spec.condition, unknown=unknown
    )
    return Recipe(model, objective, k)
