r"""Sparse autoencoder.

.. math:: \log p_\theta(x \mid z) - \Omega(z), \qquad z = f_\phi(x)

References:
    | Sparse Autoencoder (Ng, 2011), CS294A lecture notes, for `kl`
    | k-Sparse Autoencoders (Makhzani & Frey, 2014), for `top_k`
    | https://arxiv.org/abs/1312.5663
    | Update on how we train SAEs (Conerly et al., 2024), for `l1`
    | https://transformer-circuits.pub/2024/april-update
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from .. import objectives
from ..charges import Sparsity
from ..distributions.dirac import DiracFamily
from ..errors import DiaboloError
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .ae import ae

__all__ = ["largest", "seldom", "sparse_ae"]

TAKES = {"l1": ("price", "jacobian"), "kl": ("price", "target"), "top_k": ("active",)}


@extends(ae)
def sparse_ae(
    spec: Spec,
    *,
    sparsity: Literal["l1", "kl", "top_k"] = "l1",
    latent: int = 128,
    price: float | None = None,
    target: float | None = None,
    active: int | None = None,
    jacobian: parts.Jacobian = "auto",
    **options: Any,
) -> Recipe:
    """An autoencoder of whose code few elements are on for any one datum.

    `l1` has a code that is 0 or more, and charges each element for its part in what the decoder
    puts out; `kl` has a code between 0 and 1, and charges each element for the part of a batch for
    which it is on; `top_k` sets all but the largest elements to 0, and charges nothing. Neither
    charge can be evaded by a small code and a decoder that enlarges it.

    Arguments:
        spec: What is known of the data.
        sparsity: `l1`, `kl` or `top_k`.
        latent: The width D of the code.
        price: What sparsity is worth in nats, with `l1` (None is 1) and `kl` (None is 0.3).
        target: The part of the data for which an element is to be on, with `kl`; None is 0.05.
        active: How many elements are kept, with `top_k`; None is an eighth of them.
        jacobian: With `l1`, whether the part of each element is found exactly, by a gradient for
            each, or estimated without bias by one; `auto` is exact up to 8 elements.
        options: Those of `ae`.
    """
    parts.choice(tuple(TAKES), sparsity=sparsity)
    parts.at_least(1, latent=latent)
    given = {"price": price, "target": target, "active": active, "jacobian": jacobian}
    others = {name: value for name, value in given.items() if name not in TAKES[sparsity]}
    parts.unused(f"sparsity='{sparsity}'", **others)
    if price is None:
        price = 0.3 if sparsity == "kl" else 1.0
    target = 0.05 if target is None else target
    active = max(1, latent // 8) if active is None else active
    parts.above(0, price=price)
    if not 0 < target < 1:
        raise DiaboloError(f"target is a part of the data, above 0 and below 1, not {target}.")
    if not 1 <= active <= latent:
        raise DiaboloError(f"active must be 1 to latent={latent}, not {active}.")
    model, objective, k = ae(spec, latent=latent, **options)
    code = {
        "l1": torch.relu,
        "kl": partial(seldom, part=target),
        "top_k": partial(largest, count=active),
    }
    model.latent.posterior.family = DiracFamily(code[sparsity])
    if sparsity == "l1":
        model.charge = Sparsity(price, exact=parts.exact(jacobian, latent))
    if sparsity == "kl":
        objective = partial(objectives.sparse, target=target, price=price)
    return Recipe(model, objective, k)


def largest(z: Tensor, count: int) -> Tensor:
    """Returns z (*, D) with all but its `count` largest elements set to 0."""
    kept = torch.zeros_like(z).scatter(-1, z.topk(count, dim=-1).indices, 1.0)
    return z * kept


def seldom(z: Tensor, part: float) -> Tensor:
    """Returns z (*, D) brought between 0 and 1, with `part` for 0: so training starts there."""
    return torch.sigmoid(z + math.log(part / (1 - part)))
