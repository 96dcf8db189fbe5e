"""How evaluation goes through data: a quiet model, batches that fit, one x for each datum.

Shapes: K posterior samples, B batch, N data.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil, prod
from typing import Literal

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..data.data import CONTINUOUS
from ..data.decode import Dequantize
from ..distributions import Family
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed

__all__ = [
    "Precision",
    "Progress",
    "Told",
    "autocast",
    "averages",
    "batches",
    "counted",
    "decoder_rows",
    "dequantized",
    "draw_digest",
    "networks",
    "quiet",
    "samples_for",
    "shuffled",
    "some",
    "subject",
]

Precision = Literal["float32", "bf16"]
Progress = Callable[[float], None]

# Numbers x of one decoded chunk: 250 rows of 784 on a CPU. A tensor of these takes less than a
# megabyte: it stays in the cache, and the C library keeps its memory instead of giving it back,
# which costs more than the operation that writes it. A GPU wants more.
DECODED = {"cpu": 3 * 2**16, "cuda": 2**24, "mps": 2**23}
ORDER = 0x6F72646572  # apart from the noise of a model that is evaluated with the same seed
LOOKED = 1_000_000  # decoded samples that a first look at the likelihood may cost
LARGER = 8  # by which factor in a compiled graph, which holds no temporaries
TOLD = 100  # how often, at least, the part that is done of each batch is told


class Told:
    """Tells how much is done of work that takes minutes, a hundred times for each batch.

    Arguments:
        progress: Who is told, or None.
        batches: The number of batches.
        whole: The work on a batch, in any unit.
    """

    def __init__(self, progress: Progress | None, batches: int, whole: int) -> None:
        self.progress, self.batches, self.whole = progress, batches, whole
        self.done = self.said = 0

    def __call__(self, work: int) -> None:
        """Counts work that is done on a batch."""
        self.done += work
        batch = self.done % self.whole == 0
        if self.progress is not None and (batch or self.done - self.said >= self.whole / TOLD):
            self.said = self.done
            self.progress(self.done / (self.whole * self.batches))


def counted(data: Data, size: int) -> int:
    """Returns how many batches this process goes through."""
    part = ranks.part(ceil(len(data) / max(1, size)))
    return part.stop - part.start


@contextlib.contextmanager
def quiet(model: LatentModel) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the mode is what it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Networks compute in bfloat16 inside, or in the type of their weights.

    Raises:
        DiaboloError: If the precision is unknown.
    """
    if precision not in ("float32", "bf16"):
        raise DiaboloError(f"precision is 'float32' or 'bf16', but got '{precision}'.")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def decoder_rows(data: Data, device: torch.device, *, compiled: bool = False) -> int:
    """Returns how many x to decode at once."""
    numbers = DECODED.get(device.type, DECODED["cpu"]) * (LARGER if compiled else 1)
    return max(16, min(4096, numbers // prod(data.event)))


def samples_for(n: int) -> int:
    """Returns how many samples k a first look at the likelihood of n data takes: 50 to 1000."""
    return min(1000, max(50, LOOKED // n))


def shuffled(data: Data, seed: int) -> Tensor:
    """Returns the positions of all data in a random order, (N,), that is keyed by their rows."""
    rows = data.rows.cpu()
    like = torch.zeros((), dtype=torch.float64)
    key = KeyedNoise(mix_seed(seed, ORDER), rows, lead=1).uniform((len(rows), 1), like)[:, 0]
    return key.argsort(stable=True)


def some(data: Data, most: int, seed: int) -> Data:
    """Returns the data, or so many of them as a random order begins with, as they follow."""
    if len(data) <= most:
        return data
    return data.take(shuffled(data, seed)[:most].sort().values)


def draw_digest(data: Data) -> str | None:
    """Returns the sha256 of x where it is a draw (binarised or dequantised), else None.

    Numbers of two papers are of the same x if they name the same digest; see `Data.digest`.
    """
    return data.digest() if data.fixed or data.decoder.random else None


def batches(
    model: LatentModel, data: Data, size: int, progress: Progress | None = None
) -> Iterator[Batch]:
    """Yields batches in order, on the device and in the type of the model.

    Of several processes each goes through whole batches of its own, so that a batch has the shape
    that it has in one process; `ranks.gather` brings their results together.

    Raises:
        DiaboloError: If there are no data, or they do not fit the model in shape, support or
            condition.
    """
    if not len(data):
        raise DiaboloError("Evaluation needs at least one datum, but got none.")
    check_data(model, data)
    if data.c is None and model.condition and model.unknown is None:
        raise DiaboloError(
            "This model is conditional, but the data have no condition: give labels, or for "
            "log p(x) the class frequencies, marginal=(p1, p2, ...)."
        )
    like = next(model.parameters())
    size = max(1, size)
    part = ranks.part(ceil(len(data) / size))
    here = islice(data.batches(size, start=part.start), part.stop - part.start)
    for done, batch in enumerate(here, 1):
        c = model.given(batch.c)
        c = None if c is None else c.to(like)
        mask = None if batch.mask is None else batch.mask.to(like.device)
        yield Batch(batch.x.to(like), c, mask, batch.index.to(like.device))
        if progress is not None:
            progress(done / (part.stop - part.start))


def check_data(model: LatentModel, data: Data) -> None:
    """Refuses what is no `Data`, or `Data` of another shape or support than a model's.

    Raises:
        DiaboloError: Saying what the model takes, what came, and what to do.
    """
    if not isinstance(data, Data):
        raise DiaboloError(
            f"Expected `Data`, but got {type(data).__name__}: have them read, run.schema.data(x), "
            "or ask the run itself, which takes arrays, frames and files (run.evaluate(x))."
        )
    if data.event != model.likelihood.event:
        raise DiaboloError(
            f"This model takes data of shape {model.likelihood.event}, but got {data.event}."
        )
    _check_support(model.likelihood.family, data)


def _check_support(members: Family, data: Data) -> None:
    """Refuses data that a likelihood does not score, or scores as other values.

    Of continuous supports one holds another: a density of real numbers scores any.

    Raises:
        DiaboloError: If the support or its number of levels is another.
    """
    own = members.support
    alike = own in (None, data.support) or {own, data.support} <= set(CONTINUOUS)
    levels = members.levels if data.levels is not None else None
    if not members.supports or (
        data.support in members.supports and alike and levels in (None, data.levels)
    ):
        return
    wanted = repr(own) if own else " or ".join(map(repr, sorted(members.supports)))
    raise DiaboloError(
        f"This model scores {_of(wanted, levels)} x, but these data are "
        f"{_of(repr(data.support), data.levels)}: have them read as its training data were (give "
        "the run an array or a file), or fit a model to data like them."
    )


def _of(support: str, levels: int | None) -> str:
    return support if levels is None else f"{support} ({levels} levels)"


def subject(model: LatentModel, data: Data) -> str:
    """Returns what a log-likelihood is of: log p(x), of seen entries, given c or a part of x."""
    x = "x" if data.mask is None else "seen entries of x"
    conditional = model.condition and model.given(data.c) is not None
    given = [part for part in ("c" if conditional else "", model.likelihood.family.given) if part]
    return f"log p({x}|{', '.join(given)})" if given else f"log p({x})"


def averages(model: LatentModel, values: Tensor, log_share: Tensor | None) -> Tensor:
    """Returns the averages over q that are independent of each other, one a sample, (k, B, *).

    Of a model that goes through values of z, those of one round make up one average.

    Arguments:
        model: The model.
        values: A quantity of each of its samples, (K, B, *).
        log_share: Their shares; see `Trace`.
    """
    if log_share is None or model.enumerates is None:
        return values
    rounds = len(values) // model.enumerates
    share = (log_share + math.log(rounds)).exp()[(..., *[None] * (values.ndim - 2))]
    return (share * values).unflatten(0, (rounds, -1)).sum(1)


def networks(precision: Precision) -> str:
    """Returns what an estimate says of the type in which networks computed."""
    return "" if precision == "float32" else f", networks in {precision}"


def dequantized(data: Data) -> str:
    """Returns what to add where x is a level plus noise: one more bound lies between the two."""
    levels = isinstance(data.decoder, Dequantize)
    return ", of dequantised x: a lower bound on log P(level)" if levels else ""
