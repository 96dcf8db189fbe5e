"""What a likelihood gathers over training batches, gathered anew for averaged weights.

Shapes: B batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

import torch

from ..data import Data
from ..model import Recipe
from ..noise import KeyedNoise, mix_seed

__all__ = ["settled"]

BATCHES = 100  # a running mean forgets what lies longer back


@contextlib.contextmanager
def settled(recipe: Recipe, data: Data, seed: int, size: int) -> Iterator[None]:
    """Gives the likelihood a running scale of the weights that the model holds, for a while.

    A running scale belongs to the weights under which it was gathered. It is gathered again over
    some batches, as batch normalisation is for averaged weights; what training had gathered comes
    back at the end. A likelihood that gathers nothing is left alone.

    References:
        | Averaging Weights Leads to Wider Optima and Better Generalization (Izmailov et al., 2018)
        | https://arxiv.org/abs/1803.05407, section 3.2

    Arguments:
        recipe: The model, in evaluation mode.
        data: The training data.
        seed: Keys the order and the noise.
        size: The number B of data in a batch.
    """
    model, family = recipe.model, recipe.model.likelihood.family
    if not family.batch_level:
        yield
        return
    kept = [b.clone() for b in family.buffers()]
    order = torch.Generator().manual_seed(mix_seed(seed, 4))
    family.forget()
    family.train()  # alone: no dropout, no corruption
    with torch.enable_grad():  # without, a density of evaluation is asked for
        for batch in islice(data.batches(size, order), BATCHES):
            noise = KeyedNoise(seed, batch.index)
            model(batch.x, batch.c, mask=batch.mask, noise=noise)
    family.eval()
    try:
        yield
    finally:
        for buffer, value in zip(family.buffers(), kept, strict=True):
            buffer.copy_(value)
