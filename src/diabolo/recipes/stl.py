r"""VAE whose encoder gradient sticks the landing: it vanishes where q is the posterior.

.. math::
    \nabla_\phi = \mathbb{E}\Big[\frac{\partial}{\partial z}
    \big(\log p_\theta(x, z) - \log q_\phi(z \mid x)\big) \frac{\partial z}{\partial \phi}\Big]

References:
    | Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference
    | (Roeder, Wu & Duvenaud, 2017), https://arxiv.org/abs/1703.09194
"""

from __future__ import annotations

from typing import Any

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from .vae import vae

__all__ = ["stl"]


@extends(vae)
def stl(spec: Spec, **options: Any) -> Recipe:
    """The model and bound of `vae`, with an encoder gradient that loses its noise near the optimum.

    Arguments:
        spec: What is known of the data.
        options: Those of `vae`.
    """
    return vae(spec, **options)._replace(objective=objectives.stl)
