r"""Unseen entries of data, filled in: the best guess, an interval, and draws.

The guess has the least error that the model knows of: for numbers the conditional mean, of least
squared error, or the median, of least absolute error; for classes the most probable one. All are
taken from p(unseen | seen), see `conditional`; guesses lie where data can lie.

Shapes: N data, R rows with holes, M draws, S weighted z, B batch, E event shape of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..distributions import Categorical, Distribution, Product
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel
from ..noise import KeyedNoise, Noise, mix_seed
from .conditional import Mixing, Unseen, mixing
from .drawing import NUMBERS, seeded
from .passes import Precision, Progress, autocast, batches, check_data, quiet

__all__ = ["Completion", "Middle", "complete"]

Middle = Literal["mean", "median"]
MOST = 4096  # rows of a batch
LEAST = 500  # draws of a hole of which the ends of its interval are found
ELEMENT, PICKED = 0x656C656D, 0x7069636B  # seeds apart from that of z


@dataclass(frozen=True, eq=False)
class Completion:
    """What a model makes of the rows that have holes; seen entries are as they were seen.

    Arguments:
        rows: The positions of the rows with holes, (R,), int64.
        best: The rows with the best guess in each hole, (R, *E).
        low: The lower end of the interval of each hole, (R, *E); NaN at what was seen and at
            classes.
        high: The upper end, likewise.
        certainty: The probability of the class that was filled in, (R, *E); NaN at what was seen
            and at numbers.
        draws: The rows with draws of p(unseen | seen) in the holes, (M, R, *E).
        ess: The effective sample size of the importance weights of each row, (R,); None without.
        acceptance: The part of the moves of each row's chains that was accepted, (R,), or None.
    """

    rows: Tensor
    best: Tensor
    low: Tensor
    high: Tensor
    certainty: Tensor
    draws: Tensor
    ess: Tensor | None = None
    acceptance: Tensor | None = None


def complete(
    model: LatentModel,
    data: Data,
    *,
    method: str = "importance",
    draws: int = 0,
    point: Middle = "mean",
    interval: float = 0.9,
    seed: int = 0,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Completion:
    """Returns what the seen entries of data say of the unseen ones.

    Noise is keyed by (seed, row): what else is asked, and in what order, changes no row.

    Arguments:
        model: A model with a posterior density.
        data: The data, with the mask of what was seen.
        method: `importance(k=500)` weighs draws of q(z | seen). `gibbs(chains=10, sweeps=60)` runs
            chains, dearer, for models whose q does not fit data with holes;
            `gibbs(correct=false)` is the pseudo-Gibbs chain.
        draws: The number M of draws.
        point: What is the best guess of a number. Ordered levels take the median in any case.
        interval: The nominal probability of the intervals; the same is left out at either end.
        seed: Keys the draws.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the model is deterministic, does not fit the data or the method, or an
            argument is out of range.
    """
    draws, seed = whole("draws", draws, least=0), whole("seed", seed)
    if point not in ("mean", "median"):
        raise unknown("point", str(point), ("mean", "median"))
    if not 0 < interval < 1:
        raise DiaboloError(f"interval is a probability between 0 and 1, not {interval}.")
    chosen = mixing(model, method)
    check_data(model, data)
    rows = _holed(data)
    elements = _Elements(data)
    if not len(rows):
        none = torch.empty((0, *data.event))
        return _completion(chosen, rows, (none,) * 4, none.expand(draws, *none.shape), None)
    some = data.take(rows)
    device = next(model.parameters()).device
    numbers = NUMBERS.get(device.type, NUMBERS["cpu"])
    size = min(MOST, max(1, numbers // (max(LEAST, chosen.size) * prod(data.event))))
    tail = (1 - interval) / 2
    parts: list[tuple[Tensor, ...]] = []
    found: list[Tensor] = []
    told_parts: list[Tensor] = []
    with quiet(model):
        for b in batches(model, some, size, progress):
            with seeded(device, seed, int(b.index[0])), autocast(precision, device):
                unseen = chosen.mix(model, b, seed)
                parts.append(_filled(model, unseen, b, elements, point, tail, seed))
                if draws:
                    drawn = unseen.pick(model, draws, KeyedNoise(mix_seed(seed, PICKED), b.index))
                    found.append(_with_seen(drawn, b).cpu())
            if unseen.told is not None:
                told_parts.append(unseen.told.cpu())
    n = len(rows)
    filled = tuple(ranks.gather(torch.cat(p), n) for p in zip(*parts, strict=True))
    none = filled[0].new_empty((0, *filled[0].shape))
    drawn = ranks.gather(torch.cat(found, 1), n, dim=1) if draws else none
    told = ranks.gather(torch.cat(told_parts), n) if told_parts else None
    return _completion(chosen, rows, filled, drawn, told)


def _completion(
    chosen: Mixing, rows: Tensor, filled: tuple[Tensor, ...], draws: Tensor, told: Tensor | None
) -> Completion:
    best, low, high, certainty = filled
    of = {"importance": "ess", "gibbs": "acceptance"}[chosen.name]
    return Completion(rows, best, low, high, certainty, draws, **{of: told})


class _Elements:
    """What each element of a datum is, by the support of its values.

    Grey levels whose bits are drawn are no classes: a probability is their grey value.
    """

    def __init__(self, data: Data) -> None:
        kinds = data.kinds or (self._of(data),) * prod(data.event)
        names = [k.partition(":")[0] for k in kinds]
        drawn = data.fixed or data.decoder.random

        def are(*words: str) -> Tensor:
            return torch.tensor([n in words for n in names]).view(data.event)

        self.classes = are("category") if drawn else are("category", "binary")
        self.ordered = are("ordinal")
        step = [self._steps(k) for k in kinds]
        self.steps = torch.tensor(0.0 if drawn else step).expand(prod(data.event)).view(data.event)
        level = [int(k.partition(":")[2] or 2) for k in kinds]
        self.levels = torch.tensor(level).view(data.event)

    @staticmethod
    def _of(data: Data) -> str:
        return data.support if data.levels is None else f"{data.support}:{data.levels}"

    @staticmethod
    def _steps(kind: str) -> float:
        """How many values there are in a unit, 0 where they are continuous."""
        name, _, levels = kind.partition(":")
        if name == "byte":
            return float(levels or 256) - 1
        return 0.0 if name in ("real", "positive", "unit") else 1.0


def _holed(data: Data) -> Tensor:
    """Returns the positions of the rows that have holes."""
    found = [(~mask.flatten(1)).any(1).cpu() for mask in data.masks()]
    return torch.cat(found).nonzero().flatten() if found else torch.empty(0, dtype=torch.int64)


def _with_seen(x: Tensor, b: Batch) -> Tensor:
    """Returns x (*, B, *E) with what was seen put back."""
    return x if b.mask is None else torch.where(b.mask, b.x, x)


def _filled(
    model: LatentModel,
    unseen: Unseen,
    b: Batch,
    elements: _Elements,
    point: Middle,
    tail: float,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the best guess, the interval's ends and the certainty, each (B, *E), on the CPU."""
    assert b.mask is not None
    px = unseen.px.given(b.x, b.mask)
    classes, hole = elements.classes.to(b.x.device), ~b.mask
    best = low = high = certainty = torch.full_like(b.x, torch.nan)
    if not bool(classes.all()):
        noise = KeyedNoise(mix_seed(seed, ELEMENT), b.index)
        even = unseen.even(model, max(LEAST, len(unseen.weight)), noise).given(b.x, b.mask)
        low, middle, high = _numbers(px, unseen.weight, even, noise, b, elements, point, tail)
        best = middle
        low, high = (torch.where(hole & ~classes, end, torch.nan) for end in (low, high))
    if bool(classes.any()):
        mode, share = _most_probable(px, unseen.weight, elements, b.x)
        best = torch.where(classes, mode, best)
        certainty = torch.where(hole & classes, share, torch.nan)
    return _with_seen(best, b).cpu(), low.cpu(), high.cpu(), certainty.cpu()


def _numbers(
    px: Distribution,
    weight: Tensor,
    even: Distribution,
    noise: Noise,
    b: Batch,
    elements: _Elements,
    point: Middle,
    tail: float,
) -> tuple[Tensor, ...]:
    """Returns the lower end, the guess and the upper end of each number, (B, *E); else NaN.

    Ends are quantiles of draws of p(x | z) for z that weigh the same: where few z have all the
    weight, each is there many times, and so is the noise about it.

    Arguments:
        px: The densities of the weighed z, of batch shape (S, B).
        weight: Their weights, (S, B).
        even: The densities of z that weigh the same, of batch shape (n, B).
        noise: Draws x.
        b: The data.
        elements: What each element is.
        point: What the guess is.
        tail: The probability beyond either end.
    """
    at = None
    if isinstance(px, Product):  # the columns of classes are not looked at
        at = (~elements.classes).nonzero().flatten()
        px = px.pick(at.tolist())
        assert isinstance(even, Product)
        even = even.pick(at.tolist())
    ends = [q.to(b.x) for q in _quantiles(even.sample((), noise), (tail, 0.5, 1 - tail))]
    if point == "mean":
        shape = (*weight.shape, *[1] * (ends[1].ndim - 1))
        mean = (weight.view(shape) * px.point).sum(0).to(b.x)
        ordered = elements.ordered.to(b.x.device)
        steps = elements.steps.to(b.x)
        if at is not None:
            ordered, steps = ordered[at], steps[at]
        mean = torch.where(steps > 0, (mean * steps).round() / steps.clamp(min=1), mean)
        ends[1] = torch.where(ordered, ends[1], mean)
    if at is None:
        return tuple(ends)
    spread = [torch.full_like(b.x, torch.nan) for _ in ends]
    for out, end in zip(spread, ends, strict=True):
        out[:, at] = end
    return tuple(spread)


def _quantiles(x: Tensor, at: tuple[float, ...]) -> list[Tensor]:
    """Returns quantiles of draws x (n, B, *E), each (B, *E)."""
    rising = x.sort(0).values
    # The first value by which this part of the draws is reached, give or take rounding.
    return [rising[max(0, math.ceil(len(x) * (part - 1e-9)) - 1)] for part in at]


def _most_probable(
    px: Distribution, weight: Tensor, elements: _Elements, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the most probable class of each element and its probability, each (B, *E).

    Arguments:
        px: The densities, of batch shape (S, B).
        weight: Their weights, (S, B).
        elements: Which elements are classes, and of how many.
        like: Tells shape and type, (B, *E).
    """
    if not isinstance(px, Product):
        return _mode(px, weight, int(elements.levels.max()), like)
    best, most = torch.full_like(like, torch.nan), torch.full_like(like, torch.nan)
    for p, own in px.parts():
        at = torch.tensor(own, device=like.device)
        if bool(elements.classes[at.cpu()].all()):  # a block is of one kind
            count = int(elements.levels[at.cpu()].max())
            best[:, at], most[:, at] = _mode(p, weight, count, like[:, at])
    return best, most


def _mode(p: Distribution, weight: Tensor, count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the most probable of values 0, ..., count - 1, and its probability."""
    weight = weight.view(*weight.shape, *[1] * (like.ndim - 1))
    if isinstance(p, Categorical):  # which has them at once
        shares = (weight.unsqueeze(2) * p.probabilities).sum(0).movedim(1, 0)
    else:
        values = (like.new_full((len(weight), *like.shape), level) for level in range(count))
        shares = torch.stack([(weight * p.log_prob_elements(v).exp()).sum(0) for v in values])
    most, best = shares.max(0)
    return best.to(like), most.to(like)
