r"""VAE that pays less for what its code says of x, and for its aggregate posterior instead.

.. math::
    \mathbb{E}_q[\log p_\theta(x \mid z)]
    - (1 - \alpha) \, \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))
    - \lambda \, \mathrm{MMD}^2(q_\phi(z), p(z))

References:
    | InfoVAE: Balancing Learning and Inference in Variational Autoencoders (Zhao, Song & Ermon,
    | 2019), https://arxiv.org/abs/1706.02262
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from .. import objectives
from ..errors import DiaboloError
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["info_vae"]


@extends(vae, "prior")
def info_vae(
    spec: Spec,
    *,
    alpha: float = 0.5,
    price: float = 100.0,
    kernel: Literal["imq", "rbf"] = "imq",
    width: float = 1.0,
    **options: Any,
) -> Recipe:
    """A VAE with more information in its code, whose codes still look like the prior's.

    Weights are selected by the ELBO, in which the rate has its full price.

    Arguments:
        spec: What is known of the data.
        alpha: The part of the rate that is not paid, at most 1; 0 only adds to the ELBO.
        price: Nats for each unit of the squared discrepancy, which is below 2: what the paper
            calls alpha + lambda - 1.
        kernel: `imq`, which sees far, or `rbf`.
        width: The kernel's width, in units of the prior's standard deviation.
        options: Those of `vae` but prior, which is N(0, I).
    """
    parts.above(0, price=price, width=width)
    parts.choice(("imq", "rbf"), kernel=kernel)
    if not 0 <= alpha <= 1:
        raise DiaboloError(f"alpha is the part of the rate that is not paid, not {alpha}.")
    charged = partial(
        objectives.discrepancy, price=price, beta=1 - alpha, kernel=kernel, width=width
    )
    return vae(spec, **options)._replace(objective=charged)
