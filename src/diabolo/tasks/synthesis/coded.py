"""A table as numbers with holes: what synthetic and real rows are compared in.

Shapes: n rows, D columns, F numbers of a row that distances are taken in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coded", "Distances", "holes_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Coded:
    """Rows of a table as numbers.

    Arguments:
        x: Numbers, or codes 0, 1, ... of a category, (n, D); NaN where an entry is missing.
        names: The names of the columns, D of them.
        codes: Whether a column holds codes without an order, D of them.
    """

    x: Array
    names: tuple[str, ...]
    codes: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: NDArray[np.int64]) -> Coded:
        """Returns some rows."""
        return replace(self, x=self.x[rows])

    def drawn(self, n: int, generator: np.random.Generator) -> Coded:
        """Returns at most n rows, drawn without repetition; all in their order where they fit."""
        if len(self) <= n:
            return self
        return self.take(np.sort(generator.choice(len(self), n, replace=False)))


def holes_of(samples: Coded, data: Coded, generator: np.random.Generator) -> Coded:
    """Returns samples with the holes of data, those of a row drawn at random.

    So both lack as much, and no comparison sees a hole where it should see a value.
    """
    holes = np.isnan(data.x)
    if not holes.any():
        return samples
    pattern = holes[generator.integers(len(data), size=len(samples))]
    return replace(samples, x=np.where(pattern, np.nan, samples.x))


@dataclass(frozen=True)
class Distances:
    """Numbers in which rows are near or far: ranks among training data, and codes apart.

    A number becomes its rank in the training data, of variance 1; two codes that differ are 1
    apart; a missing entry is the mean of its column.

    Arguments:
        train: The training data.
    """

    train: Coded

    def __call__(self, rows: Coded) -> Array:
        """Returns (n, F)."""
        parts: list[Array] = []
        for j, code in enumerate(rows.codes):
            known, found = self.train.x[:, j], rows.x[:, j]
            known = np.sort(known[~np.isnan(known)])
            missing = np.isnan(found)
            if code:
                levels = np.unique(known)
                hot = (found[:, None] == levels) * np.sqrt(0.5)
                share = (known[:, None] == levels).mean(0) * np.sqrt(0.5)
                parts.append(np.where(missing[:, None], share, hot))
            else:
                low, high = np.searchsorted(known, found), np.searchsorted(known, found, "right")
                rank = ((low + high) / (2 * max(len(known), 1)) - 0.5) * np.sqrt(12)
                parts.append(np.where(missing, 0.0, rank)[:, None])
        return np.concatenate(parts, axis=1)
