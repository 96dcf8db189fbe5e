"""The densities of a model whose latent is one continuous vector, for each batch of data.

Shapes: K samples, B batch, D latent elements.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import Batch, Data
from ..distributions import REALS, Distribution
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import MEAN, KeyedNoise, Noise, mix_seed

__all__ = [
    "Densities",
    "check_continuous",
    "densities",
    "draws",
    "has_density",
    "is_continuous",
    "simulated",
]

WORLD = 3  # what a seed is mixed with, for what a model makes up
MADE = "decodes what is made of z, not z itself"
OTHER = "use the method 'importance'"


class Densities(NamedTuple):
    """What a model says of z and of how x is read from it.

    Attributes:
        q: q(z | x, c), of batch shape (B,).
        p: p(z | c), of batch shape () or (B,).
        c: The condition as the likelihood reads it, (B, C), or None.
    """

    q: Distribution
    p: Distribution
    c: Tensor | None


def has_density(model: LatentModel) -> None:
    """Refuses a deterministic autoencoder, which has no likelihood.

    Raises:
        DiaboloError: If the model is one.
    """
    if model.deterministic:
        raise DiaboloError(
            "A deterministic autoencoder has no likelihood of x: its codes have no density. "
            "Its distortion is a number (`distortion`), and a 'vae' has both."
        )


def check_continuous(model: LatentModel, what: str, instead: str = OTHER) -> None:
    """Refuses a model whose latent is not one vector of numbers with a prior density.

    Arguments:
        model: The model.
        what: Who asks: the subject of the sentence.
        instead: What to do with another model; nothing if empty.

    Raises:
        DiaboloError: If the model is deterministic, discrete, on a sphere, or a hierarchy.
    """
    has_density(model)
    if model.enumerates is not None or all(model.levels):
        raise _refusal(what, "has discrete values", instead)
    if model.space != REALS:
        raise _refusal(what, f"has {model.space}", instead)
    if len(model.groups) > 1:
        raise _refusal(what, f"is a hierarchy ({len(model.groups)} groups)", instead)


def is_continuous(model: LatentModel) -> bool:
    """Whether `check_continuous` lets a model pass."""
    try:
        check_continuous(model, "")
    except DiaboloError:
        return False
    return True


def densities(model: LatentModel, b: Batch, what: str, instead: str = OTHER) -> Densities:
    """Returns the densities of z for a batch of a model that `check_continuous` lets pass.

    Raises:
        DiaboloError: If the code that the likelihood reads is not z itself.
    """
    inferred, c = model.infer(b.x, b.c, mask=b.mask, noise=MEAN)
    draw = inferred.draws[0]
    if inferred.code is not draw.z:  # a ladder's state, or a value as ones and zeros
        raise _refusal(what, MADE, instead)
    assert draw.q is not None
    assert draw.p is not None
    return Densities(draw.q, draw.p, c)


def draws(p: Distribution, k: int, size: int, noise: Noise) -> Tensor:
    """Returns k draws for each datum of a batch of this size, (K, B, D), also of a p they share."""
    return p.sample((k,) if p.batch_shape else (k, size), noise)


def simulated(
    model: LatentModel, n: int, c: Tensor | None, seed: int, what: str, instead: str = OTHER
) -> tuple[Data, Tensor]:
    """Returns n data of the model and the z (n, D) that they were made from, keyed by row.

    Raises:
        DiaboloError: If the model is conditional, but there is no condition, or if the code that
            the likelihood reads is not z itself.
    """
    like = next(model.parameters())
    noise = KeyedNoise(mix_seed(seed, WORLD), torch.arange(n, device=like.device), lead=1)
    if c is not None:
        c = c.to(like)
    elif model.condition and model.unknown is None:
        raise DiaboloError("This model is conditional: it needs a condition c for each datum.")
    read = c if model.unknown is None else model.unknown(c, n, like, noise)
    z = model.latent.sample(n, read, noise)
    if z.shape[1] != sum(model.groups):
        raise _refusal(what, MADE, instead)
    x = model.decode(z, c).sample((), noise)
    members, usual = model.likelihood.family, "real"
    if usual not in members.supports:
        usual = min(members.supports, default=usual)
    support: Any = members.support or usual
    return Data(x.cpu(), support, members.levels, c=None if c is None else c.cpu()), z


def _refusal(what: str, has: str, instead: str) -> DiaboloError:
    return DiaboloError(
        f"{what} needs a latent that is one vector of continuous numbers, as in a 'vae', but this "
        f"one {has}{instead and ': '}{instead}."
    )
