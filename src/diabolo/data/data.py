"""Whole arrays, sliced by index on the device: no per-item Python, no workers.

Shapes: N data, B batch, E event shape, C condition width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..noise import FRESH, KeyedNoise
from ..spec import Spec, Support
from .decode import AsFloat, Decoder

__all__ = ["Batch", "Data", "Splits"]


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
        x: Stored values (N, *E), of any type; images are (N, channels, height, width).
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
    """

    x: Tensor
    support: Support = "real"
    levels: int | None = None
    decoder: Decoder = field(default_factory=AsFloat)
    c: Tensor | None = None
    mask: Tensor | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    fixed: bool = False
    seed: int = 0
    index: Tensor | None = None

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

    def take(self, rows: Tensor) -> Data:
        """Returns the data at these positions; they keep their row indices."""

        def pick(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[rows.to(t.device)]

        return replace(
            self,
            x=self.x[rows.to(self.x.device)],
            c=pick(self.c),
            mask=pick(self.mask),
            labels=pick(self.labels),
            index=pick(self.rows),
        )

    def to(self, device: torch.device | str) -> Data:
        """Returns the data with their arrays on a device."""

        def move(t: Tensor | None) -> Tensor | None:
            return None if t is None else t.to(device)

        return replace(
            self,
            x=self.x.to(device),
            c=move(self.c),
            mask=move(self.mask),
            labels=move(self.labels),
            index=self.rows.to(device),
        )

    def batch(self, rows: Tensor, *, fresh: bool = False) -> Batch:
        """Returns the data at these positions, decoded.

        Arguments:
            rows: Positions (B,).
            fresh: Decode with torch's generator, for training; else with noise keyed by row.
        """
        index = self.rows[rows.to(self.rows.device)]
        keyed = self.fixed or not fresh
        noise = KeyedNoise(self.seed, index, lead=1) if keyed else FRESH
        x = self.decoder(self.x[rows], noise)
        c = None if self.c is None else self.c[rows]
        mask = None if self.mask is None else self.mask[rows]
        return Batch(x, c, mask, index)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yields batches: with a generator in random order for training, else in order.

        Training leaves out a last batch that is smaller (one graph), unless it is the only one.
        """
        n = len(self.x)
        if generator is None:
            order = torch.arange(n)
        else:
            order = torch.randperm(n, generator=generator)
        for rows in order.to(self.x.device).split(size):
            if generator is None or len(rows) == min(size, n):
                yield self.batch(rows, fresh=generator is not None)

    def spec(self, *, standardize: bool = False, examples: int = 1000) -> Spec:
        """Returns what a recipe may know of these data.

        Arguments:
            standardize: Whether the model is to standardise them.
            examples: How many data to show it, for pseudo-inputs.
        """
        few = self.batch(torch.arange(min(len(self), max(examples, 10_000))))
        x, mask = few.x, few.mask
        seen = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        clean = x if mask is None else torch.where(mask, x, 0.0)
        count = seen.sum(0).clamp(min=1)
        mean = clean.sum(0) / count
        scale = None
        if standardize:
            variance = (seen * (clean - mean) ** 2).sum(0) / count
            scale = torch.where(variance > 0, variance.sqrt(), 1.0)
        return Spec(
            event=self.event,
            support=self.support,
            levels=self.levels,
            condition=0 if self.c is None else self.c.shape[1],
            count=len(self),
            mean=mean,
            scale=scale,
            examples=clean[:examples],
            missing=self.mask is not None,
        )


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
