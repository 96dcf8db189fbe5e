"""How a run samples, encodes and decodes: in batches that fit the cache, into one array.

Nothing here is trained, so that tensors need no bookkeeping for gradients (`inference_mode`).

Shapes: n rows, B rows of a batch, D latent elements, S the layout of one datum as the user gave it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Batch
from ..distributions import Distribution
from ..evaluate import Precision
from ..evaluate.passes import autocast
from ..model import LatentModel
from ..noise import MEAN, KeyedNoise, Noise, mix_seed, seed_fresh
from .asked import as_data
from .latents import Codes

if TYPE_CHECKING:
    from .run import Run

__all__ = ["classify", "decode", "encode", "reconstruct", "sample"]

# Numbers x of one batch: some hundred images of 28 x 28 on a CPU, whose cache holds them. More
# would be no faster there, fewer would feel the time that Python takes for a batch.
NUMBERS = {"cpu": 3 * 2**18, "cuda": 2**24, "mps": 2**23}
MOST = 4096  # rows of a batch


def rows_of(model: LatentModel, device: torch.device) -> int:
    """Returns the number B of rows that go through a model at once."""
    numbers = NUMBERS.get(device.type, NUMBERS["cpu"])
    return min(MOST, max(16, numbers // prod(model.likelihood.event)))


def sample(
    run: Run, n: int, c: Tensor | None, mean: bool, seed: int, precision: Precision
) -> NDArray[Any]:
    """Returns what `Run.sample` promises, (n, *S)."""

    def part(rows: Tensor) -> Tensor:
        noise = KeyedNoise(seed, rows, lead=1)
        with _seeded(run.device, seed, int(rows[0])):
            with autocast(precision, run.device):
                px = run.model.sample(len(rows), None if c is None else c[rows], noise=noise)
            return _value(px, mean, noise)

    with torch.inference_mode():
        rows = torch.arange(n, device=run.device).split(rows_of(run.model, run.device))
        return run.schema.restore(_joined(map(part, rows), n))


def encode(
    run: Run, x: Any, labels: Any, condition: Any, variance: bool, precision: Precision
) -> Any:
    """Returns what `Run.encode` promises, (n, D)."""
    data = as_data(run, x, labels, condition).to(run.device)
    with torch.inference_mode(), autocast(precision, run.device):
        parts = (
            run.model.encode(batch.x, batch.c, mask=batch.mask)
            for batch in data.batches(rows_of(run.model, run.device))
        )
        if not variance:
            return _joined((mean for mean, _ in parts), len(data)).numpy()
        size = run.latent
        both = _joined((torch.cat(p, dim=1) for p in parts), len(data)).numpy()
        return Codes(both[:, :size].copy(), both[:, size:].copy())


def classify(run: Run, x: Any) -> NDArray[Any]:
    """Returns what `Run.classify` promises, (n, C)."""
    data = as_data(run, x, None, None).to(run.device)
    with torch.inference_mode():
        batches = data.batches(rows_of(run.model, run.device))
        parts = (run.model.classify(batch.x, mask=batch.mask) for batch in batches)
        return _joined(parts, len(data)).numpy()


def decode(
    run: Run, z: Tensor, c: Tensor | None, mean: bool, seed: int, precision: Precision
) -> NDArray[Any]:
    """Returns what `Run.decode` promises, (n, *S)."""

    def part(rows: Tensor) -> Tensor:
        with autocast(precision, run.device):
            px = run.model.decode(z[rows], None if c is None else c[rows])
        with _seeded(run.device, seed, int(rows[0])):
            return _value(px, mean, KeyedNoise(seed, rows, lead=1))

    with torch.inference_mode():
        rows = torch.arange(len(z), device=z.device).split(rows_of(run.model, run.device))
        return run.schema.restore(_joined(map(part, rows), len(z)))


def reconstruct(
    run: Run,
    x: Any,
    labels: Any,
    condition: Any,
    mean: bool,
    seed: int,
    precision: Precision,
) -> NDArray[Any]:
    """Returns what `Run.reconstruct` promises, (n, *S)."""
    data = as_data(run, x, labels, condition).to(run.device)

    def part(batch: Batch) -> Tensor:
        noise = MEAN if mean else KeyedNoise(seed, batch.index)
        with _seeded(run.device, seed, int(batch.index[0])):
            with autocast(precision, run.device):
                inferred, c = run.model.infer(batch.x, batch.c, mask=batch.mask, noise=noise)
                px = run.model.likelihood(inferred.code, c)
            return _value(px.given(batch.x, batch.mask), mean, noise)[0]

    with torch.inference_mode():
        batches = data.batches(rows_of(run.model, run.device))
        return run.schema.restore(_joined(map(part, batches), len(data)))


def _joined(parts: Iterator[Tensor], n: int) -> Tensor:
    """Returns rows (n, *) on the CPU from parts that come one after the other."""
    out, at = torch.empty(0), 0
    for part in parts:
        if not at:
            out = torch.empty((n, *part.shape[1:]), dtype=part.dtype)
        out[at : at + len(part)] = part
        at += len(part)
    return out


def _value(px: Distribution, mean: bool, noise: Noise) -> Tensor:
    """Returns the mean of a density or a draw from it."""
    return px.point if mean else px.sample((), noise)


@contextlib.contextmanager
def _seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Seeds torch's own generators, from which foreign densities draw, and gives them back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_fresh(mix_seed(*key), device)
        yield
