r"""VAE at a rate or a distortion of one's choice, by a price that training finds.

.. math:: \min D \;\text{ where }\; R = R^* \qquad\text{or}\qquad \min R \;\text{ where }\; D = D^*

References:
    | Taming VAEs (Rezende & Viola, 2018), https://arxiv.org/abs/1810.00597
    | Fixing a Broken ELBO (Alemi et al., 2018), https://arxiv.org/abs/1711.00464
"""

from __future__ import annotations

from typing import Any, Literal

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["geco"]


@extends(vae)
def geco(
    spec: Spec,
    *,
    target: float = 10.0,
    of: Literal["rate", "distortion"] = "rate",
    speed: float = 0.05,
    **options: Any,
) -> Recipe:
    """A `beta_vae` that finds its own price, so that its rate or its distortion is `target` nats.

    Weights are kept from epochs that were there; a rate or distortion that no price gives is
    approached as far as it goes.

    Arguments:
        spec: What is known of the data.
        target: The mean over the data, in nats; a rate is above 0.
        of: `rate`, the code's length, or `distortion`, -log p(x | z).
        speed: How far the logarithm of the price moves in a step, at most: more is there sooner,
            but swings.
        options: Those of `vae`.
    """
    parts.choice(("rate", "distortion"), of=of)
    parts.above(0, speed=speed, **({"target": target} if of == "rate" else {}))
    priced = objectives.Multiplier(objectives.elbo, objectives.Aim(of, target), speed=speed)
    return vae(spec, **options)._replace(objective=priced)
