r"""Importance-weighted autoencoder with the doubly reparameterised gradient.

.. math:: \nabla_\phi = \mathbb{E}\Big[\sum_k \hat w_k^2 \,
    \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big]

References:
    | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019)
    | https://arxiv.org/abs/1810.04152
"""

from __future__ import annotations

from typing import Any

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from .vae import vae

__all__ = ["dreg"]


@extends(vae)
def dreg(spec: Spec, *, k: int = 10, **options: Any) -> Recipe:
    """The model and bound of `iwae`, with an encoder gradient that keeps its signal at large `k`.

    Arguments:
        spec: What is known of the data.
        k: Posterior samples for each datum.
        options: Those of `vae`.
    """
    return vae(spec, k=k, **options)._replace(objective=objectives.dreg)
