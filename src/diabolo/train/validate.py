"""The validation ELBO and its parts, and the aim of a training, by which weights are selected.

Shapes: L latent groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..model import Recipe
from ..noise import KeyedNoise
from ..objectives import Schedule, elbo, terms

__all__ = ["missed", "validate"]

CLOSE = 0.02  # how far off its aim, as a part of the rate, a training may be to count as there


def missed(objective: Callable[..., Tensor], means: Tensor) -> float:
    """Returns how far an epoch was from where its objective aims; 0 where it was there.

    Arguments:
        objective: What is trained.
        means: Of value, distortion, penalty and rates over the epoch, (3 + L,).
    """
    if not isinstance(objective, Schedule) or objective.aim is None:
        return 0.0
    excess = float(objective.aim.excess(means[1], means[3:].sum()))
    return max(0.0, abs(excess) - CLOSE)


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
        c = None if recipe.model.classifies else batch.c  # log p(x), whatever labels there are
        t = terms(elbo, recipe.model(batch.x, c, mask=batch.mask, noise=noise, every=True))
        sums.append(torch.stack([t.value, t.distortion, *t.rate]).cpu().double().sum(1))
    return ranks.gather(torch.stack(sums), steps).sum(0) / len(data)
