"""What a model draws, and what it makes of data: in batches that fit the cache, into one tensor.

Noise is keyed by (seed, row), so that neither the size of a batch nor what is asked beside it
changes a datum. Nothing here is trained, so that tensors need no bookkeeping for gradients.

Shapes: n rows, B rows of a batch, E event shape of x.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from ..data import Batch, Data
from ..distributions import Distribution
from ..model import LatentModel
from ..noise import MEAN, KeyedNoise, Noise, mix_seed, seed_fresh
from .passes import Precision, autocast, check_data

__all__ = ["drawn", "joined", "reconstructed", "rows_of", "seeded", "value"]

# Numbers x of one batch: some hundred images of 28 x 28 on a CPU, whose cache holds them. More
# would be no faster there, fewer would feel the time that Python takes for a batch.
NUMBERS = {"cpu": 3 * 2**18, "cuda": 2**24, "mps": 2**23}
MOST = 4096  # rows of a batch


def rows_of(model: LatentModel, device: torch.device) -> int:
    """Returns the number B of rows that go through a model at once."""
    numbers = NUMBERS.get(device.type, NUMBERS["cpu"])
    return min(MOST, max(16, numbers // prod(model.likelihood.event)))


def drawn(
    model: LatentModel,
    n: int,
    c: Tensor | None = None,
    *,
    mean: bool = False,
    seed: int = 0,
    precision: Precision = "float32",
) -> Tensor:
    """Returns n draws x ~ p(x | z), z ~ p(z), or the means of p(x | z), (n, *E), on the CPU.

    Arguments:
        model: A model with a prior, in evaluation mode.
        n: How many; the first of a larger n are the same.
        c: Conditions (n, C), where the model has one.
        mean: Return the mean of p(x | z) instead of a draw from it.
        seed: Keys the noise.
        precision: The type in which networks compute.
    """
    device = next(model.parameters()).device
    c = None if c is None else c.to(device)

    def part(rows: Tensor) -> Tensor:
        noise = KeyedNoise(seed, rows, lead=1)
        with seeded(device, seed, int(rows[0])):
            with autocast(precision, device):
                px = model.sample(len(rows), None if c is None else c[rows], noise=noise)
            return value(px, mean, noise)

    with torch.inference_mode():
        rows = torch.arange(n, device=device).split(rows_of(model, device))
        return joined(map(part, rows), n)


def reconstructed(
    model: LatentModel,
    data: Data,
    *,
    mean: bool = True,
    seed: int = 0,
    precision: Precision = "float32",
) -> Tensor:
    """Returns what a model makes of the code of each datum, (n, *E), on the CPU.

    Arguments:
        model: A model in evaluation mode.
        data: Data with the condition that it needs.
        mean: Decode the posterior's mean to the mean of p(x | z); else draw both.
        seed: Keys the noise of draws.
        precision: The type in which networks compute.
    """
    check_data(model, data)
    like = next(model.parameters())
    device = like.device

    def part(batch: Batch) -> Tensor:
        noise = MEAN if mean else KeyedNoise(seed, batch.index)
        x, c = batch.x.to(like.dtype), None if batch.c is None else batch.c.to(like.dtype)
        with seeded(device, seed, int(batch.index[0])):
            with autocast(precision, device):
                inferred, c = model.infer(x, c, mask=batch.mask, noise=noise)
                px = model.likelihood(inferred.code, c)
            return value(px.given(x, batch.mask), mean, noise)[0]

    with torch.inference_mode():
        batches = data.to(device).batches(rows_of(model, device))
        return joined(map(part, batches), len(data))


def joined(parts: Iterator[Tensor], n: int) -> Tensor:
    """Returns rows (n, *) on the CPU from parts that come one after the other."""
    out, at = torch.empty(0), 0
    for part in parts:
        if not at:
            out = torch.empty((n, *part.shape[1:]), dtype=part.dtype)
        out[at : at + len(part)] = part
        at += len(part)
    return out


def value(px: Distribution, mean: bool, noise: Noise) -> Tensor:
    """Returns the mean of a density, or what stands for it, or a draw."""
    return px.point if mean else px.sample((), noise)


@contextlib.contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Seeds torch's own generators, from which foreign densities draw, and gives them back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_fresh(mix_seed(*key), device)
        yield
