"""How a run samples, encodes and decodes: in batches that fit the cache, into one array or frame.

Nothing here is trained, so that tensors need no bookkeeping for gradients (`inference_mode`).

Shapes: n rows, B rows of a batch, D latent elements, S the layout of one datum as the user gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.table import is_frame
from ..evaluate import Precision
from ..evaluate.drawing import drawn, joined, reconstructed, rows_of, seeded, value
from ..evaluate.passes import autocast
from ..noise import KeyedNoise
from .asked import as_data
from .latents import Codes

if TYPE_CHECKING:
    from .run import Run

__all__ = ["classify", "decode", "encode", "reconstruct", "sample"]


def sample(run: Run, n: int, c: Tensor | None, mean: bool, seed: int, precision: Precision) -> Any:
    """Returns what `Run.sample` promises, (n, *S)."""
    x = drawn(run.model, n, c, mean=mean, seed=seed, precision=precision)
    return run.schema.restore(x, drawn=not mean)


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
            return joined((mean for mean, _ in parts), len(data)).numpy()
        size = run.latent
        both = joined((torch.cat(p, dim=1) for p in parts), len(data)).numpy()
        return Codes(both[:, :size].copy(), both[:, size:].copy())


def classify(run: Run, x: Any) -> NDArray[Any]:
    """Returns what `Run.classify` promises, (n, C)."""
    data = as_data(run, x, None, None).to(run.device)
    with torch.inference_mode():
        batches = data.batches(rows_of(run.model, run.device))
        parts = (run.model.classify(batch.x, mask=batch.mask) for batch in batches)
        return joined(parts, len(data)).numpy()


def decode(
    run: Run, z: Tensor, c: Tensor | None, mean: bool, seed: int, precision: Precision
) -> Any:
    """Returns what `Run.decode` promises, (n, *S)."""

    def part(rows: Tensor) -> Tensor:
        with autocast(precision, run.device):
            px = run.model.decode(z[rows], None if c is None else c[rows])
        with seeded(run.device, seed, int(rows[0])):
            return value(px, mean, KeyedNoise(seed, rows, lead=1))

    with torch.inference_mode():
        rows = torch.arange(len(z), device=z.device).split(rows_of(run.model, run.device))
        return run.schema.restore(joined(map(part, rows), len(z)), drawn=not mean)


def reconstruct(
    run: Run,
    x: Any,
    labels: Any,
    condition: Any,
    mean: bool,
    seed: int,
    precision: Precision,
) -> Any:
    """Returns what `Run.reconstruct` promises, (n, *S)."""
    data = as_data(run, x, labels, condition)
    found = reconstructed(run.model, data, mean=mean, seed=seed, precision=precision)
    return run.schema.restore(found, x if is_frame(x) else None, drawn=not mean)
