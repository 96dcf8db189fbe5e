"""Rows that stay in files until they are asked for, and passes over any rows block by block.

`Mapped` joins memory-mapped arrays (shards), takes rows of them and converts what it reads. What
is mapped is page cache, which the system takes back when memory is short; only the blocks that
are being worked on are memory of the process.

Shapes: N rows, n rows asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

__all__ = [
    "Array",
    "Mapped",
    "Memory",
    "Values",
    "ahead",
    "mapping",
    "megabytes",
    "pieces",
    "size_of",
]

Array = np.ndarray[Any, Any]
Step = Callable[[Array, Array], Array]
T = TypeVar("T")
S = TypeVar("S")
Memory = Literal["auto", "whole", "mapped"]
BLOCK = 1 << 22  # bytes that are worked on at once
LARGE = 1 << 30


@dataclass(frozen=True, eq=False)
class Mapped:
    """Rows of memory-mapped arrays, read when they are asked for.

    Arguments:
        parts: The arrays (N_i, *), alike but for their length; their rows follow one another.
        rows: Which of these rows, (N,); None for all.
        steps: What becomes of rows that are read: functions of values (n, *) and of their
            positions in the parts, (n,), one after the other. A row may not depend on others.
    """

    parts: tuple[Array, ...]
    rows: Array | None = None
    steps: tuple[Step, ...] = ()

    def __len__(self) -> int:
        return int(self._starts[-1]) if self.rows is None else len(self.rows)

    @cached_property
    def _starts(self) -> Array:
        """Where each part begins among all rows, and the number of rows."""
        return np.cumsum([0, *(len(p) for p in self.parts)])

    @cached_property
    def _like(self) -> Array:
        """One row as it is read, for its type and shape."""
        first = self.rows[:1] if self.rows is not None else np.arange(min(1, len(self)))
        return self._read(first)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a value as it is read."""
        return self._like.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, *) as it is read."""
        return (len(self), *self._like.shape[1:])

    def take(self, positions: Array) -> Mapped:
        """Returns the rows at these positions; nothing is read."""
        rows = positions if self.rows is None else self.rows[positions]
        return replace(self, rows=np.asarray(rows))

    def then(self, step: Step) -> Mapped:
        """Returns these rows with one more thing done to what is read."""
        return replace(self, steps=(*self.steps, step))

    def gather(self, positions: Array) -> Array:
        """Returns the rows at these positions, in that order, read in the order of the files."""
        rows = positions if self.rows is None else self.rows[positions]
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        sort = np.argsort(rows, kind="stable")
        step = _rows_of(self)
        for i in range(0, len(rows), step):
            some = sort[i : i + step]
            out[some] = self._read(rows[some])
        return out

    def _read(self, rows: Array) -> Array:
        """Returns rows, sorted, of all parts joined."""
        ends = np.searchsorted(rows, self._starts)
        found = []
        for part, before, a, b in zip(self.parts, self._starts, ends, ends[1:], strict=False):
            if b > a:
                low, high = int(rows[a] - before), int(rows[b - 1] - before) + 1
                # Consecutive rows are a slice, which costs nothing.
                found.append(part[low:high] if high - low == b - a else part[rows[a:b] - before])
        values = found[0] if len(found) == 1 else np.concatenate(found or [self.parts[0][:0]])
        for step in self.steps:
            values = step(values, rows)
        return values


Values = Array | Mapped


def size_of(x: Values) -> int:
    """Returns the bytes that all rows take in memory."""
    return prod(x.shape) * x.dtype.itemsize


def megabytes(size: int) -> str:
    """Returns a number of bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.3g} MB"


def _rows_of(x: Values) -> int:
    """Returns how many rows make a block."""
    source = x.parts[0] if isinstance(x, Mapped) else x  # may be wider than what is read
    return max(1, BLOCK // max(1, source.dtype.itemsize * prod(source.shape[1:])))


def pieces(x: Values, rows: Array | None = None) -> Iterator[tuple[int, Array]]:
    """Yields blocks (n, *) of rows, each with how many rows came before it.

    Arguments:
        x: The rows.
        rows: The positions of those wanted; None for all.
    """
    count, step = len(x) if rows is None else len(rows), _rows_of(x)
    for first in range(0, count, step):
        last = min(first + step, count)
        if isinstance(x, Mapped):
            yield first, x.gather(np.arange(first, last) if rows is None else rows[first:last])
        else:
            yield first, x[first:last] if rows is None else x[rows[first:last]]


def ahead(function: Callable[[T], S], items: Iterable[T]) -> Generator[S]:
    """Yields a function of each item; while one is used, a thread works on the next.

    An error is raised where its item is asked for. The thread has ended when the iterator has,
    or is closed.
    """
    with ThreadPoolExecutor(1, "diabolo-ahead") as pool:
        waiting: Future[S] | None = None
        for item in items:
            now, waiting = waiting, pool.submit(function, item)
            if now is not None:
                yield now.result()
        if waiting is not None:
            yield waiting.result()


def _available() -> int:
    """Returns the bytes of memory that are left to this process, or a guess."""
    found = [4 * LARGE]
    for path, prefix in (("/proc/meminfo", "MemAvailable:"), ("/sys/fs/cgroup/memory.max", "")):
        try:
            lines = Path(path).read_text("ascii").splitlines()
        except OSError:  # another system
            continue
        words = next((line.split() for line in lines if line.startswith(prefix)), [""])
        number = next((w for w in words if w.isdigit()), None)
        if number is not None:
            found.append(int(number) * (1024 if prefix else 1))
    return min(found)


def mapping(memory: Memory, size: int) -> bool:
    """Returns whether data of so many bytes stay in their files.

    Arguments:
        memory: What is asked for: `auto` maps what exceeds 1 GiB, or a quarter of the memory
            that is left.
        size: Their bytes.
    """
    return memory == "mapped" or (memory == "auto" and size > min(LARGE, _available() // 4))
