r"""VAE whose rate is held at a capacity that rises in training.

.. math:: \mathbb{E}_q[\log p_\theta(x \mid z)] - \gamma \, |\bar R - C|, \qquad
    \bar R = \mathbb{E}_x[\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))]

References:
    | Understanding disentangling in beta-VAE (Burgess et al., 2018)
    | https://arxiv.org/abs/1804.03599
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

__all__ = ["capacity_vae"]


@extends(vae)
def capacity_vae(
    spec: Spec,
    *,
    capacity: float = 25.0,
    gamma: float = 10.0,
    warmup: float = 0.5,
    **options: Any,
) -> Recipe:
    """A VAE that may spend `capacity` nats, no more and no less: factors come in one by one.

    Weights are kept from epochs whose rate was there.

    Arguments:
        spec: What is known of the data.
        capacity: The rate C in nats, a mean over the data, at the end of training.
        gamma: The price of one nat off the capacity: well above the one that `geco` would find
            there, for less does not hold the rate, and far more drowns the likelihood.
        warmup: The part of training over which the capacity rises from 0.
        options: Those of `vae`.
    """
    parts.above(0, capacity=capacity, gamma=gamma)
    parts.fraction(warmup=warmup)
    charged = partial(objectives.capacity, gamma=gamma)
    aim = objectives.Aim("rate", capacity)
    held = objectives.Ramp(charged, "nats", end=capacity, over=warmup, aim=aim)
    return vae(spec, **options)._replace(objective=held)
