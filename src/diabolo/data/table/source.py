"""The columns of a table as they were read, before it is known what they are.

Shapes: n rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ..found import Found
from ..mapped import Array, pieces
from ..values import refuse_infinite
from .column import Column, Level
from .kinds import Numbers
from .types import as_numbers, is_date, is_number, is_plain, pc, plain, type_of

__all__ = ["Source", "counts_of", "plain_column", "sources_of"]


@dataclass(frozen=True, eq=False)
class Source:
    """One column of all parts: in Arrow, or as numbers that lie in files.

    Arguments:
        base: What is known of it by its type alone.
        parts: Its values in each part, without a dictionary; () where they lie in files.
        numbers: What is seen of it, where it holds numbers.
        rows: The positions of the training rows that are fitted.
    """

    base: Column
    parts: tuple[pa.Array, ...]
    numbers: Numbers | None
    rows: Array

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.base.name

    @property
    def seen(self) -> int:
        """How many values there are."""
        if self.numbers is not None:
            return self.numbers.seen
        return sum(len(p) - p.null_count for p in self.parts)

    @property
    def plain(self) -> pa.DataType:
        """The type of its values, without categories."""
        return self.parts[0].type if self.parts else pa.float64()

    @property
    def categorical(self) -> bool:
        """Whether its type has categories."""
        return pa.types.is_dictionary(type_of(self.base.type))

    @property
    def ordered(self) -> bool:
        """Whether its type has categories in an order."""
        return bool(getattr(type_of(self.base.type), "ordered", False))

    def column(self, kind: str, **more: Any) -> Column:
        """Returns the column as one of this kind."""
        return replace(self.base, kind=kind, **more)  # type: ignore[arg-type]

    @property
    def constant(self) -> bool:
        """Whether all of its values are the same."""
        if self.numbers is not None:
            return self.numbers.low >= self.numbers.high
        return len(pc.unique(pa.chunked_array(self.parts).drop_null())) < 2


def sources_of(found: Found, rows: Array) -> list[Source]:
    """Returns the columns of all parts."""
    frames = [p.frame for p in found.parts if p.frame is not None]
    bases = [plain_column(found, name) for name in found.columns]
    if not frames:
        for part in found.parts:
            if part.x.dtype.kind == "f":
                refuse_infinite(part.x, lambda i: f"column '{found.columns[i]}'")
        every = [Numbers(sum(len(p.x) for p in found.parts)) for _ in bases]
        for part in found.parts:
            for _, block in pieces(part.x):
                for i, numbers in enumerate(every):
                    numbers.add(block[:, i].astype(np.float64))
        return [Source(b, (), n, rows) for b, n in zip(bases, every, strict=True)]
    made = []
    count = sum(map(len, frames))
    for base in bases:
        columns = [f.columns[base.name] for f in frames]
        parts = tuple(plain(c) for c in columns)
        numbers = None
        if is_number(parts[0].type):
            values = [as_numbers(c, base.name) for c in columns]
            for block in values:
                refuse_infinite(block[:, None], lambda _, name=base.name: f"column '{name}'")
            numbers = Numbers.of(values, count)
        levels = is_plain(parts[0].type) and not is_date(parts[0].type)
        if levels and pa.types.is_dictionary(columns[0].type):
            base = replace(base, categories=_categories(columns))
        made.append(Source(base, parts, numbers, rows))
    return made


def plain_column(found: Found, name: str) -> Column:
    """Returns a column by its type alone, as one of numbers."""
    frame = found.train.frame
    if frame is None:
        return Column(name=name, kind="real", type=found.types[name])
    kind = str(frame.columns[name].type)
    return Column(name=name, kind="real", type=kind, dtype=frame.dtypes.get(name, ""))


def _categories(columns: list[pa.ChunkedArray]) -> tuple[Level, ...]:
    """Returns the categories that the type of a column has, in its order, seen or not."""
    chunks = [chunk.dictionary.to_pylist() for c in columns for chunk in c.chunks]
    return tuple(dict.fromkeys(v for values in chunks for v in values if v is not None))


def counts_of(parts: tuple[pa.Array, ...]) -> tuple[tuple[Level, ...], tuple[int, ...]]:
    """Returns the values that there are, sorted, and how often each comes."""
    both = pc.value_counts(pa.chunked_array(parts).drop_null())
    values, counts = both.field("values").to_pylist(), both.field("counts").to_pylist()
    pairs = sorted(zip(values, counts, strict=True), key=lambda p: p[0])
    return tuple(v for v, _ in pairs), tuple(n for _, n in pairs)
