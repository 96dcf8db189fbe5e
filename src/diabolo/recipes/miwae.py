r"""VAE trained on the mean of several importance-weighted bounds.

.. math:: \mathbb{E}\Big[\tfrac1M \sum_m \log \tfrac1L \sum_l
    \frac{p_\theta(x, z_{ml})}{q_\phi(z_{ml} \mid x)}\Big]

References:
    | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
    | https://arxiv.org/abs/1802.04537
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["miwae"]


@extends(vae)
def miwae(spec: Spec, *, k: int = 16, bounds: int = 4, **options: Any) -> Recipe:
    """A looser bound than `iwae` of as many samples, whose encoder gradient has less noise.

    Arguments:
        spec: What is known of the data.
        k: Posterior samples for each datum, a multiple of `bounds`.
        bounds: The number M of bounds, each of L = k / M samples, whose mean it is.
        options: Those of `vae`.
    """
    parts.divides(k, bounds=bounds)
    objective = partial(objectives.miwae, bounds=bounds)
    return vae(spec, k=k, **options)._replace(objective=objective)
