r"""Importance-weighted autoencoder.

.. math:: \mathbb{E}_{z_1, \dots, z_K \sim q}
    \Big[\log \tfrac1K \sum_k \frac{p_\theta(x, z_k)}{q_\phi(z_k \mid x)}\Big]

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016)
    | https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

from typing import Any

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from .vae import vae

__all__ = ["iwae"]


@extends(vae)
def iwae(spec: Spec, *, k: int = 10, **options: Any) -> Recipe:
    """A VAE trained on the tighter bound of `k` samples.

    Arguments:
        spec: What is known of the data.
        k: Posterior samples for each datum.
        options: Those of `vae`.
    """
    return vae(spec, k=k, **options)._replace(objective=objectives.iwae)
