r"""Regularised autoencoder.

.. math:: \log p_\theta(x \mid z) - \tfrac{\beta}{2} \|z\|_2^2 - \lambda \, \Omega(\theta),
    \qquad z = f_\phi(x)

References:
    | From Variational to Deterministic Autoencoders (Ghosh et al., 2020), eq. 10 to 13
    | https://arxiv.org/abs/1903.12436
"""

from __future__ import annotations

from typing import Any, Literal

from ..charges import Ridge
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .ae import ae

__all__ = ["rae"]


@extends(ae)
def rae(
    spec: Spec,
    *,
    latent: int = 32,
    beta: float = 0.1,
    penalty: Literal["weights", "gradient"] = "weights",
    price: float | None = None,
    jacobian: parts.Jacobian = "auto",
    **options: Any,
) -> Recipe:
    """An autoencoder with a small code and a smooth decoder, so that near codes decode alike.

    Arguments:
        spec: What is known of the data.
        latent: The width D of the code.
        beta: Nats for each unit of the code's squared length, times two.
        penalty: What keeps the decoder smooth: a charge on its squared `weights`, or on the
            squared `gradient` of what it puts out by the code.
        price: Nats for each unit of that; None is 0.01 for weights and 0.1 for gradients.
        jacobian: With `gradient`, whether it is found exactly, by a gradient for each element of
            the code, or estimated without bias by one; `auto` is exact up to 8 elements.
        options: Those of `ae`.
    """
    parts.choice(("weights", "gradient"), penalty=penalty)
    weights = penalty == "weights"
    if weights:
        parts.unused("penalty='weights'", jacobian=jacobian)
    price = (0.01 if weights else 0.1) if price is None else price
    parts.at_least(0, beta=beta, price=price)
    exact = None if weights else parts.exact(jacobian, latent)
    recipe = ae(spec, latent=latent, **options)
    recipe.model.charge = Ridge(price, code=beta, exact=exact)
    return recipe
