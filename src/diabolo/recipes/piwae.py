r"""Partially importance-weighted autoencoder: decoder and encoder learn from bounds of their own.

.. math:: \nabla_\theta = \nabla_\theta \, \mathrm{IWAE}(M L), \qquad
    \nabla_\phi = \nabla_\phi \, \mathrm{MIWAE}(M, L)

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

__all__ = ["piwae"]


@extends(vae)
def piwae(spec: Spec, *, k: int = 16, bounds: int = 4, **options: Any) -> Recipe:
    """The model and bound of `iwae`, with the encoder gradient of `miwae`.

    Arguments:
        spec: What is known of the data.
        k: Posterior samples for each datum, a multiple of `bounds`.
        bounds: The number M of bounds, each of L = k / M samples, that the encoder learns from.
        options: Those of `vae`.
    """
    parts.divides(k, bounds=bounds)
    objective = partial(objectives.piwae, bounds=bounds)
    return vae(spec, k=k, **options)._replace(objective=objective)
