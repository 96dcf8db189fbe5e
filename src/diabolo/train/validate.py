"""What weights are selected by, over the validation data, and the aim of a training.

Shapes: L latent groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..model import Recipe
from ..noise import KeyedNoise
from ..objectives import Schedule, declaration, elbo, iwae, price, terms

__all__ = ["Selector", "missed", "selector", "validate", "worth"]

CLOSE = 0.02  # how far off its aim, as a part of the rate, a training may be to count as there


class Selector(NamedTuple):
    """What weights are selected by.

    Attributes:
        name: What its value is called.
        objective: Of a trace, (B,) in nats, larger is better.
        k: Posterior samples for each datum.
    """

    name: str
    objective: Callable[..., Tensor]
    k: int = 1


def selector(recipe: Recipe) -> Selector:
    """Returns what weights are selected by: the ELBO, whatever was trained, but for three.

    Training on an importance-weighted bound may widen the gap to the ELBO for good, which would
    then choose weights of the first epochs: it is selected by the bound of as many samples.

    Training that leaves out the worst data drives these ever further away, and their ELBO would
    choose weights of the first epochs too: it is selected by the ELBO of the data it keeps.

    A deterministic model has no bound, and without its charges, which the objective may hold, it
    would be selected as a plain autoencoder: it is selected by the objective itself. One that
    moves in training is another from epoch to epoch, so that there log p(x|z) less the model's own
    charges is left.
    """
    if declaration(recipe.objective).importance:
        return Selector(f"IWAE bound of {recipe.k} samples", iwae, recipe.k)
    if declaration(recipe.objective).trims:
        trimmed: Callable[..., Tensor] = recipe.objective
        return Selector("trimmed ELBO", partial(trimmed, beta=1.0))
    if not recipe.model.deterministic:
        return Selector("ELBO", elbo)
    if isinstance(recipe.objective, Schedule):
        return Selector("log joint", elbo)
    return Selector("objective", recipe.objective)


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


def worth(recipe: Recipe, select: str, found: Sequence[float]) -> float:
    """Returns what an epoch's weights are selected by; larger is better.

    Arguments:
        recipe: What is trained.
        select: As in `TrainConfig`.
        found: What `validate` found, (2 + L,).
    """
    if select == "elbo":
        return found[0]
    beta = price(recipe.objective)
    assert beta is not None  # else `refuse` would have
    return -found[1] - beta * sum(found[2:])


@torch.no_grad()
def validate(recipe: Recipe, data: Data, seed: int, size: int) -> Tensor:
    """Returns the means (2 + L,) of the selector, distortion and rates, noise keyed by row.

    Of several processes each goes through some of the batches; sums are float64, and every process
    adds them up in the same order.
    """
    sums = []
    (_, scored, k), n = selector(recipe), len(data)
    if declaration(scored).batch_level:
        # Batches of one size, but for rounding: a remainder of few data would judge them badly.
        size = math.ceil(n / max(1, n // max(size, math.isqrt(n) + 1)))
    else:
        size = min(size, math.ceil(n / ranks.count()))
    steps = math.ceil(n / size)
    part = ranks.part(steps)
    for batch in islice(data.batches(size, start=part.start), part.stop - part.start):
        noise = KeyedNoise(seed, batch.index)
        c = recipe.model.given(batch.c)
        trace = recipe.model(batch.x, c, k=k, mask=batch.mask, noise=noise, every=True)
        t = terms(elbo, trace)
        value = t.value if scored is elbo else scored(trace)
        sums.append(torch.stack([value, t.distortion, *t.rate]).cpu().double().sum(1))
    return ranks.gather(torch.stack(sums), steps).sum(0) / n
