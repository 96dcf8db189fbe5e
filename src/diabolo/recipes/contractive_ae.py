r"""Contractive autoencoder.

.. math:: \log p_\theta(x \mid z) - \lambda \sum_j g_j^2
    \Big\| \frac{\partial z_j}{\partial x} \Big\|_2^2, \qquad z = f_\phi(x)

References:
    | Contractive Auto-Encoders: Explicit Invariance During Feature Extraction (Rifai et al., 2011)
    | https://icml.cc/2011/papers/455_icmlpaper.pdf
"""

from __future__ import annotations

from typing import Any

from ..charges import Contraction
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .ae import ae

__all__ = ["contractive_ae"]


@extends(ae)
def contractive_ae(
    spec: Spec,
    *,
    latent: int = 32,
    price: float = 0.3,
    jacobian: parts.Jacobian = "auto",
    **options: Any,
) -> Recipe:
    """An autoencoder whose code moves little where x moves a little.

    Rifai ties the decoder's weights to the encoder's, so that the code cannot be made small and
    enlarged again. Here, where networks are of any kind, each element of the code is measured by
    its gain g, how far the decoder's output moves with it; tied weights of unit length have gain 1.

    Arguments:
        spec: What is known of the data.
        latent: The width D of the code.
        price: Nats for each unit of the encoder's squared Jacobian.
        jacobian: Whether Jacobians are found exactly, by two gradients for each element of the
            code, or estimated without bias by two (Hutchinson); `auto` is exact up to 8 elements.
        options: Those of `ae`.
    """
    parts.above(0, price=price)
    exact = parts.exact(jacobian, latent)
    recipe = ae(spec, latent=latent, **options)
    recipe.model.charge = Contraction(price, exact=exact)
    return recipe
