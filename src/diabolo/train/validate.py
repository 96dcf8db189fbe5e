"""The validation ELBO and its parts, by which weights are selected.

Shapes: L latent groups.
"""

from __future__ import annotations

import math
from itertools import islice

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..model import Recipe
from ..noise import KeyedNoise
from ..objectives import elbo, terms

__all__ = ["validate"]


@torch.no_grad()
def validate(recipe: Recipe, data: Data, seed: int, size: int) -> Tensor:
    """Returns the means (2 + L,) of ELBO, distortion and rates, noise keyed by row.

    Of several processes each goes through some of the batches; sums are float64, and every process
    adds them up in the same order.
    """
    sums = []
    size = min(size, math.ceil(len(data) / ranks.count()))
    steps = math.ceil(len(data) / size)
    part = ranks.part(steps)
    for batch in islice(data.batches(size, start=part.start), part.stop - part.start):
        noise = KeyedNoise(seed, batch.index)
        t = terms(elbo, recipe.model(batch.x, batch.c, mask=batch.mask, noise=noise))
        sums.append(torch.stack([t.value, t.distortion, *t.rate]).cpu().double().sum(1))
    return ranks.gather(torch.stack(sums), steps).sum(0) / len(data)
