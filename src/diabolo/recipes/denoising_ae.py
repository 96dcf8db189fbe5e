r"""Denoising autoencoder.

.. math:: \tilde x \sim C(\tilde x \mid x), \qquad z = f_\phi(\tilde x), \qquad
    x \sim p_\theta(x \mid z)

References:
    | Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008)
    | https://doi.org/10.1145/1390156.1390294
"""

from __future__ import annotations

from typing import Any, Literal

from ..errors import DiaboloError
from ..model import LatentModel, Recipe
from ..registry import extends
from ..spec import Spec
from ..views import corrupted
from .ae import ae

__all__ = ["denoising_ae"]


@extends(ae)
def denoising_ae(
    spec: Spec,
    *,
    noise: Literal["gaussian", "masking", "salt_pepper"] = "masking",
    level: float = 0.3,
    **options: Any,
) -> Recipe:
    """An autoencoder that reads a corrupted x in training and answers for the clean one.

    Arguments:
        spec: What is known of the data.
        noise: `gaussian` adds noise, `masking` hides entries, `salt_pepper` puts them to either
            end of their range.
        level: The standard deviation of Gaussian noise, or the part of the entries that is hit.
        options: Those of `ae`.
    """
    if not level > 0:
        raise DiaboloError(f"level must be above 0, not {level}: use the recipe 'ae' for none.")
    model, objective, k = ae(spec, **options)
    view = corrupted(spec, noise, level)
    model = LatentModel(view, model.latent, model.likelihood, condition=spec.condition)
    return Recipe(model, objective, k)
