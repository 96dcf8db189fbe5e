r"""VAE with a price on the total correlation of its code.

.. math::
    \mathcal{L} - (\alpha - 1) \, I_q(x; z)
    - (\beta - 1) \, \mathrm{KL}\Big(q(z) \,\Big\|\, \prod_j q(z_j)\Big)
    - (\gamma - 1) \sum_j \mathrm{KL}(q(z_j) \,\|\, p(z_j))

References:
    | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
    | https://arxiv.org/abs/1802.04942
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from .. import objectives
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["beta_tc"]


@extends(vae)
def beta_tc(
    spec: Spec,
    *,
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
    sampling: Literal["stratified", "weighted"] = "stratified",
    **options: Any,
) -> Recipe:
    """A VAE that pays `beta` for each nat by which its latents depend on each other.

    It is the part of the rate that `beta_vae` means; the information about x keeps its price. All
    is estimated from the batch: the larger, the better.

    Arguments:
        spec: What is known of the data.
        alpha: The price of one nat of information about which datum it is.
        beta: The price of one nat of total correlation.
        gamma: The price of one nat by which single latents differ from the prior.
        sampling: How q(z) is estimated: `stratified`, without bias, or `weighted`, as most do.
        options: Those of `vae`; its posterior has independent elements.

    Raises:
        DiaboloError: If an option is out of range, or the posterior's elements are dependent.
    """
    parts.at_least(0, alpha=alpha, beta=beta, gamma=gamma)
    parts.choice(("stratified", "weighted"), sampling=sampling)
    prices = {"alpha": alpha, "beta": beta, "gamma": gamma}
    priced = partial(
        objectives.total_correlation, **prices, data=spec.count or None, sampling=sampling
    )
    recipe = vae(spec, **options)
    parts.independent(recipe.model.latent.posterior, "beta_tc")
    return recipe._replace(objective=priced)
