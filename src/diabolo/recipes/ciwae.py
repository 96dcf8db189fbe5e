r"""Combination importance-weighted autoencoder: a VAE trained on a mixture of two bounds.

.. math:: \beta \, \mathrm{ELBO} + (1 - \beta) \, \mathrm{IWAE}(K)

References:
    | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
    | https://arxiv.org/abs/1802.04537
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import objectives
from ..errors import DiaboloError
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["ciwae"]


@extends(vae)
def ciwae(spec: Spec, *, k: int = 10, beta: float = 0.5, **options: Any) -> Recipe:
    """`beta` of the ELBO, which keeps the encoder's signal, and the rest of the tighter bound.

    Arguments:
        spec: What is known of the data.
        k: Posterior samples for each datum, at least 2.
        beta: The part of the ELBO: 0 is `iwae`, 1 is the VAE with sampled rates.
        options: Those of `vae`.
    """
    parts.at_least(2, k=k)  # the two bounds of one sample are the same
    if not 0 <= beta <= 1:
        raise DiaboloError(f"beta is the part of the ELBO, between 0 and 1, not {beta}.")
    return vae(spec, k=k, **options)._replace(objective=partial(objectives.ciwae, beta=beta))
