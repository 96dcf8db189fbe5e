r"""VAE with a VampPrior: a mixture of its own posteriors of learned pseudo-inputs.

.. math:: p(z) = \tfrac1M \sum_{m=1}^M q_\phi(z \mid u_m)

References:
    | VAE with a VampPrior (Tomczak & Welling, 2018)
    | https://arxiv.org/abs/1705.07120
"""

from __future__ import annotations

from typing import Any

from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["vamp"]


@extends(vae, "prior")
def vamp(spec: Spec, *, pseudo_inputs: int = 500, **options: Any) -> Recipe:
    """A VAE whose prior is learned with the posterior, from `pseudo_inputs` that start as data.

    Arguments:
        spec: What is known of the data, with examples.
        pseudo_inputs: The number M of pseudo-inputs.
        options: Those of `vae` but the prior.
    """
    parts.at_least(1, pseudo_inputs=pseudo_inputs)
    return vae(spec, prior=f"vamp(count={pseudo_inputs})", **options)
