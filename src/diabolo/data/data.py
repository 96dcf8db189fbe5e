"""Arrays, sliced by index: whole on the device, or left in files and staged in chunks.

Rows are never handled one by one. Data in files are read ahead by one thread, a chunk at a time,
in an order that is drawn over all rows, so that training sees what it sees of data in memory.

Shapes: N data, B batch, E event shape, C condition width.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..noise import FRESH, KeyedNoise, Noise, Sliced, mix_seed
from ..ranks import WHOLE, Share
from ..spec import Spec, Support
from .decode import AsFloat, Decoder, Dequantize
from .mapped import Array, Mapped, ahead

__all__ = ["Batch", "Data", "Splits"]

CONTINUOUS = ("real", "unit", "positive")
STREAM = 0x64617461  # Apart from the noise of a model that is evaluated with the same seed.
CHUNK = 1 << 20
STAGE = 1 << 26  # bytes of data in files that are read ahead at once


class Batch(NamedTuple):
    """Data as a model sees them.

    Attributes:
        x: (B, *E), floats in data units.
        c: Conditions (B, C), or None.
        mask: True where an entry was seen, (B, *E); None if all were.
        index: The row index of each datum, (B,), which keys its noise.
    """

    x: Tensor
    c: Tensor | None
    mask: Tensor | None
    index: Tensor


@dataclass(frozen=True)
class Data:
    """One split: arrays stored small, and how to decode them.

    Arguments:
        x: Stored values (N, *E), of any type; images are (N, channels, height, width). They are
            a tensor, or rows that stay in files.
        support: The support of a decoded value.
        levels: The number of its values, where the support has levels.
        decoder: Turns stored values into x.
        c: Conditions (N, C), floats, or None.
        mask: True where an entry was seen, (N, *E); None if all were.
        labels: A label for each datum, (N,), for colours and checks; None without.
        classes: The names of the labels' values.
        fixed: Whether a datum is decoded with the same noise in every epoch.
        seed: Keys the noise of fixed decoding.
        index: The row index of each datum in its source; None counts from 0.
        names: For images of a folder, the path of each datum's file below the folder, (N,), with
            `/` between parts; None where data have no names.
        kinds: Of `mixed` data, the support of each column, as in a `Spec`.
    """

    x: Tensor | Mapped
    support: Support = "real"
    levels: int | None = None
    decoder: Decoder = field(default_factory=AsFloat)
    c: Tensor | None = None
    mask: Tensor | Mapped | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    fixed: bool = False
    seed: int = 0
    index: Tensor | None = None
    names: tuple[str, ...] | None = None
    kinds: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event(self) -> tuple[int, ...]:
        """The shape E of one datum."""
        return tuple(self.x.shape[1:])

    @property
    def rows(self) -> Tensor:
        """The row index of each datum, (N,)."""
        return torch.arange(len(self.x)) if self.index is None else self.index

    @property
    def device(self) -> torch.device:
        """Where batches come from; data in files come to where their row indices are."""
        return self.rows.device if isinstance(self.x, Mapped) else self.x.device

    def take(self, rows: Tensor) -> Data:
        """Returns the data at these positions; they keep their row indices."""
        names = self.names
        return replace(
            self,
            x=_take(self.x, rows),
            c=None if self.c is None else _pick(self.c, rows),
            mask=None if self.mask is None else _take(self.mask, rows),
            labels=None if self.labels is None else _pick(self.labels, rows),
            index=_pick(self.rows, rows),
            names=None if names is None else tuple(names[i] for i in rows.tolist()),
        )

    def to(self, device: torch.device | str) -> Data:
        """Returns the data with their arrays on a device; what is in files stays there."""

        def move(t: Tensor | None) -> Tensor | None:
            return None if t is None else t.to(device)

        return replace(
            self,
            x=self.x if isinstance(self.x, Mapped) else self.x.to(device),
            c=move(self.c),
            mask=self.mask if isinstance(self.mask, Mapped) else move(self.mask),
            labels=move(self.labels),
            index=self.rows.to(device),
        )

    def batch(self, rows: Tensor, *, fresh: bool = False, noise: Noise = FRESH) -> Batch:
        """Returns the data at these positions, decoded.

        Arguments:
            rows: Positions (B,).
            fresh: Decode with torch's generator, for training; else with noise keyed by row.
            noise: What fresh decoding draws from.
        """
        x, mask = self._read(rows)
        return self._decoded(x, mask, rows, fresh, noise)

    def _read(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns stored values and mask at these positions, on the device."""
        mask = None if self.mask is None else _gather(self.mask, rows, self.device)
        return _gather(self.x, rows, self.device), mask

    def _decoded(
        self, x: Tensor, mask: Tensor | None, rows: Tensor, fresh: bool, noise: Noise
    ) -> Batch:
        index = _pick(self.rows, rows)
        if self.fixed or not fresh:
            noise = KeyedNoise(mix_seed(self.seed, STREAM), index, lead=1)
        c = None if self.c is None else _pick(self.c, rows)
        return Batch(self.decoder(x, noise), c, mask, index)

    def batches(
        self,
        size: int,
        generator: torch.Generator | None = None,
        *,
        start: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """Yields batches: with a generator in random order for training, else in order.

        Training leaves out a last batch that is smaller (one graph), unless it is the only one.
        The order follows from the generator alone; the data that are skipped are not decoded.

        Arguments:
            size: The number B of data in a batch.
            generator: Draws the order of training.
            start: How many batches to skip, as when training goes on within an epoch.
            share: Which part of each batch to yield, with the noise that it has in the whole.
        """
        n = len(self.x)
        if generator is None and share.count == 1 and _decodes_to_copies(self.x, self.mask):
            yield from self._in_order(size, start)
            return
        if generator is None:
            order = torch.arange(n)
        else:
            order = torch.randperm(n, generator=generator)
            order = order[: n - n % size] if n >= size else order
        if not isinstance(self.x, Mapped):
            order = order.to(self.x.device)  # once, not batch by batch
        chunks = order[start * size :].split(size * self._staged(size))
        chunks = chunks if len(chunks[0]) else ()
        with contextlib.closing(self._stored(chunks, size, share)) as stored:
            for chunk, (x, mask) in zip(chunks, stored, strict=True):
                at = 0
                for rows in chunk.split(size):
                    part = share.of(len(rows))
                    noise = FRESH if share.count == 1 else Sliced(part, len(rows), lead=1)
                    mine = rows[part].to(self.device)
                    here = slice(at, at := at + len(mine))
                    seen = None if mask is None else mask[here]
                    yield self._decoded(x[here], seen, mine, generator is not None, noise)

    def _in_order(self, size: int, start: int) -> Iterator[Batch]:
        """Yields batches of what lies in memory without gathering rows one by one."""
        assert isinstance(self.x, Tensor)
        for first in range(start * size, len(self.x), size):
            last = min(first + size, len(self.x))
            rows = torch.arange(first, last, device=self.x.device)
            yield self._decoded(self.x[first:last], None, rows, False, FRESH)

    def _staged(self, size: int) -> int:
        """Returns how many batches are read at once: one from memory, more from files."""
        mapped = [part for part in (self.x, self.mask) if isinstance(part, Mapped)]
        row = sum(part.dtype.itemsize * math.prod(part.shape[1:]) for part in mapped)
        return max(1, STAGE // (size * row)) if row else 1

    def _stored(
        self, chunks: Iterable[Tensor], size: int, share: Share
    ) -> Generator[tuple[Tensor, Tensor | None]]:
        """Yields this process's stored values and masks of each chunk of whole batches."""
        mine = (
            c if share.count == 1 else torch.cat([b[share.of(len(b))] for b in c.split(size)])
            for c in chunks
        )
        if isinstance(self.x, Mapped):
            yield from ahead(self._read, mine)
        else:
            yield from map(self._read, mine)

    @property
    def dequantized(self) -> bool:
        """Whether x has noise added, so that its log-density bounds log P of the levels."""
        return isinstance(self.decoder, Dequantize)

    def drawn(self) -> Data:
        """Returns bits drawn once by row, in place of grey values to draw them from.

        Of data in files they are drawn when they are read, the same each time.
        """
        if isinstance(self.x, Mapped):
            return replace(self, x=self.x.then(_Draw(self, self.x)), decoder=AsFloat())
        parts = torch.arange(len(self)).split(max(1, CHUNK // max(1, math.prod(self.event))))
        bits = torch.cat([self.batch(rows).x.to(torch.uint8) for rows in parts])
        return replace(self, x=bits, decoder=AsFloat())

    def digest(self) -> str:
        """Returns the sha256 of x as evaluation sees it, bits as bytes, else float32 values."""
        found = hashlib.sha256()
        for rows in torch.arange(len(self)).split(1000):
            x = self.batch(rows).x.cpu()
            bits = self.support == "binary"
            found.update((x.to(torch.uint8) if bits else x.float()).numpy().tobytes())
        return found.hexdigest()

    def masks(self) -> Iterator[Tensor]:
        """Yields the mask of some rows after the other, (n, *E); nothing if all was seen."""
        if self.mask is not None:
            for rows in torch.arange(len(self)).split(max(1, CHUNK // math.prod(self.event))):
                yield _gather(self.mask, rows, self.device)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Returns the mean and variance of each element over the seen entries of all rows, (E).

        They are float64, in which squares of small and of large float32 values keep their digits.
        """
        count = mean = square = torch.zeros(self.event, dtype=torch.float64, device=self.device)
        rows = max(1, CHUNK // max(1, math.prod(self.event)))
        for start in range(0, len(self), rows):
            stored, seen = self._read(torch.arange(start, min(start + rows, len(self))))
            x = self.decoder.mean(stored).double()
            if seen is None:
                new = torch.full_like(count, len(x))
                centre = x.sum(0) / len(x)
                spread = ((x - centre) ** 2).sum(0)
            else:
                new = seen.sum(0).double()
                x = torch.where(seen, x, 0.0)
                centre = x.sum(0) / new.clamp(min=1)
                spread = (torch.where(seen, x - centre, 0.0) ** 2).sum(0)
            # Chan, Golub & LeVeque (1979): moments of two parts together, without cancellation.
            total = (count + new).clamp(min=1)
            shift = centre - mean
            square = square + spread + shift**2 * count * new / total
            mean = mean + shift * new / total
            count = count + new
        return mean, square / count.clamp(min=1) + self.decoder.variance

    def resolution(self) -> Tensor | None:
        """Returns the smallest step between values of each element, E, or None without steps.

        An element has steps if values come again in it; without, or under noise that was added,
        the step is 0. Up to a few thousand rows are looked at, and differences that float32
        rounds away are no steps.
        """
        smooth = [kind in CONTINUOUS for kind in self.kinds or (self.support,)]
        if not any(smooth) or self.dequantized:
            return None
        rows = max(1000, 4 * CHUNK // max(1, math.prod(self.event)))
        stored, seen = self._read(torch.arange(0, len(self), -(-len(self) // rows)))
        x = self.decoder.mean(stored)
        if seen is not None:
            x = torch.where(seen, x, torch.nan)
        x = x.sort(0).values  # NaN last
        gap = x.diff(dim=0)
        least = 8 * torch.finfo(torch.float32).eps * x[1:].abs()
        again = (gap <= least).any(0)
        step = torch.where(gap > least, gap, torch.inf).amin(0)
        again = again & torch.tensor(smooth, device=again.device).expand(again.shape)
        step = torch.where(again & step.isfinite(), step, 0.0)
        return step.to(torch.get_default_dtype()) if bool(step.any()) else None

    def spec(self, *, standardize: bool = False, examples: int = 1000) -> Spec:
        """Returns what a recipe may know of these data.

        Arguments:
            standardize: Whether the model is to standardise them.
            examples: How many data to show it, for pseudo-inputs.
        """
        mean, variance = self.moments()
        few = self.batch(torch.arange(min(len(self), examples)))
        shown = few.x if few.mask is None else torch.where(few.mask, few.x, torch.nan)
        dtype = torch.get_default_dtype()
        scale = None
        if standardize:
            scale = variance.sqrt().to(dtype)
            plain = torch.tensor([kind == "real" for kind in self.kinds or ("real",)])
            scale = torch.where((scale > 0) & plain.to(scale.device), scale, 1.0)
        return Spec(
            event=self.event,
            support=self.support,
            levels=self.levels,
            kinds=self.kinds,
            condition=0 if self.c is None else self.c.shape[1],
            count=len(self),
            mean=mean.to(dtype),
            scale=scale,
            resolution=self.resolution(),
            examples=shown,
            missing=self.mask is not None,
        )


class _Draw:
    """Grey values in files to bits: a function of seed and row."""

    def __init__(self, data: Data, x: Mapped) -> None:
        self.decoder, self.seed = data.decoder, mix_seed(data.seed, STREAM)
        self.index = data.rows.cpu().numpy()
        if x.rows is not None:
            index = np.zeros(int(x.rows.max(initial=-1)) + 1, np.int64)
            index[x.rows] = self.index
            self.index = index  # of each position in the files

    def __call__(self, values: Array, rows: Array) -> Array:
        """Returns bits for values (n, *E) at positions (n,) in the files."""
        noise = KeyedNoise(self.seed, torch.from_numpy(self.index[rows]), lead=1)
        bits = self.decoder(torch.from_numpy(np.array(values)), noise)
        return bits.to(torch.uint8).numpy()


class Splits(NamedTuple):
    """The parts of a data set.

    Attributes:
        train: For fitting.
        valid: For selection.
        test: For the final numbers; None where there is none.
    """

    train: Data
    valid: Data
    test: Data | None = None


def _decodes_to_copies(x: Tensor | Mapped, mask: Tensor | Mapped | None) -> bool:
    """Whether decoding slices of what lies in memory yields x that is nobody else's memory."""
    return isinstance(x, Tensor) and mask is None and not x.is_floating_point()


def _pick(values: Tensor, rows: Tensor) -> Tensor:
    return values[rows.to(values.device)]


def _take(values: Tensor | Mapped, rows: Tensor) -> Tensor | Mapped:
    return values.take(rows.cpu().numpy()) if isinstance(values, Mapped) else _pick(values, rows)


def _gather(values: Tensor | Mapped, rows: Tensor, device: torch.device) -> Tensor:
    if isinstance(values, Mapped):
        return torch.from_numpy(values.gather(rows.cpu().numpy())).to(device)
    return _pick(values, rows)
