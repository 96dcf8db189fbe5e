"""What a table was like when a model was fitted, so that new tables are read alike.

Shapes: n rows, D features.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import DiaboloError
from ..mapped import Array
from ..values import as_float32
from .column import Column, Unseen
from .frame import Frame, need_columns, to_library
from .types import as_numbers, blank, is_number, plain

__all__ = ["Table", "numbers_of"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The columns of a table that are data, and how they become numbers.

    Arguments:
        columns: Them, in the order of the table.
        library: What it was a frame of: `pandas`, `polars`, `pyarrow`, or `file`.
        mixed: Whether each column is read as its kind, or all of them as one array of numbers.
        unseen: What becomes of levels that training had not, where rare ones were not pooled.
        left_out: Columns that are no data, and why.
    """

    columns: tuple[Column, ...]
    library: str
    mixed: bool = True
    unseen: Unseen = "refuse"
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(c.name for c in self.columns)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The support of each column's numbers, as in a `Spec`."""
        return tuple(c.support for c in self.columns)

    @property
    def numeric(self) -> bool:
        """Whether all columns hold numbers, so that an array can stand for the table."""
        return all(c.numeric for c in self.columns)

    def encode(self, frame: Frame, never: Collection[str] = ()) -> Array:
        """Returns numbers (n, D), with NaN where a value is missing.

        Arguments:
            frame: The columns.
            never: Those that had no value in training, which are passed over.

        Raises:
            DiaboloError: If a column is lacking, or has a value that it cannot have.
        """
        need_columns(self.names, frame.every or tuple(frame.columns))
        gone = {n: pa.chunked_array([pa.nulls(len(frame))]) for n in never}
        frame = replace(frame, columns={**frame.columns, **gone})
        if not self.mixed:
            return numbers_of(frame.select(self.names))
        out = np.empty((len(frame), len(self.columns)), np.float32)
        for i, column in enumerate(self.columns):
            values = column.encode(frame.columns[column.name], self.unseen)
            out[:, i] = narrow(values, column.name)
        return out

    def numbers(self, values: Array) -> Array:
        """Returns the same of an array (n, D) whose columns are those of the table.

        Raises:
            DiaboloError: If the table has columns of text or dates, which no array holds.
        """
        if not self.numeric:
            other = next(c.name for c in self.columns if not c.numeric)
            raise DiaboloError(
                f"This run was fitted on a table whose column '{other}' holds no numbers: give a "
                "data frame or a file with the same columns, not an array."
            )
        if not self.mixed or values.ndim != 2 or values.shape[1] != len(self.columns):
            return values
        out = np.empty(values.shape, np.float32)
        for i, column in enumerate(self.columns):
            numbers = column.numbers(values[:, i].astype(np.float64), self.unseen)
            out[:, i] = narrow(numbers, column.name)
        return out

    def shown(self, values: Array) -> Array:
        """Returns numbers (n, D) with levels that are numbers in place of their codes, float64.

        Codes of text stay codes, dates stay days since the first; NaN stays NaN.
        """
        out = values.astype(np.float64)
        for i, column in enumerate(self.columns if self.mixed else ()):
            if column.levels and column.numeric:
                levels = np.array([*map(float, column.levels + column.pooled), np.nan])
                code = np.where(np.isnan(out[:, i]), len(levels) - 1, np.rint(out[:, i]))
                out[:, i] = levels[code.astype(np.int64)]
        return out

    def stepped(
        self, values: Array, support: str | None = None, at: Sequence[int] | None = None
    ) -> Array:
        """Returns drawn numbers (n, D) on the steps of their columns, float64; NaN stays NaN.

        Arguments:
            values: Numbers of a model.
            support: That of all of them, where they are one array.
            at: Which columns they are; None for all.
        """
        out = values.astype(np.float64)
        for j, i in enumerate(range(len(self.columns)) if at is None else at):
            out[:, j] = self.columns[i].stepped(out[:, j], None if self.mixed else support)
        return out

    def decode(self, values: Array, like: Any = None) -> Any:
        """Returns a frame of n rows from a model's numbers (n, D).

        Arguments:
            values: The numbers.
            like: The frame whose library and row names to take; None takes those of training.
        """
        table = self.arrow(values)
        library = self.library
        dtypes = {c.name: c.dtype for c in self.columns if c.dtype}
        if like is not None:
            given = Frame.of(like)
            if given.library != library:
                names = [n for n in self.names if n in given.dtypes]
                dtypes = {n: given.dtypes[n] for n in names}
            library = given.library
        categories = {c.name: c.categories for c in self.columns}
        return to_library(table, library, dtypes, categories, like)

    def arrow(self, values: Array) -> pa.Table:
        """Returns an Arrow table of n rows from a model's numbers (n, D)."""
        return pa.table({c.name: c.decode(values[:, i]) for i, c in enumerate(self.columns)})

    def extra(self, frame: Frame, aside: tuple[str, ...]) -> list[str]:
        """Returns the columns of a frame that are neither data, nor known, nor kept aside."""
        known = {*self.names, *aside, *(name for name, _ in self.left_out)}
        return [name for name in frame.every if name not in known]


def narrow(values: Array, name: str) -> Array:
    """Returns values (n,) as float32; infinite ones stay, for the check that names them.

    Raises:
        DiaboloError: If a value is too large for it, naming the column and the row.
    """
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if (np.isinf(found) & ~np.isinf(values)).any():
        as_float32(values[:, None], lambda _: f"column '{name}'")
    return found


def numbers_of(frame: Frame) -> Array:
    """Returns columns of numbers as they are, (n, D), in one type; NaN where one is missing.

    Raises:
        DiaboloError: If a column holds no numbers.
    """
    columns = []
    for name, column in frame.columns.items():
        values = plain(column)
        if not is_number(values.type) and not blank(values):
            some = next((v for v in values.to_pylist() if v is not None), None)
            example = "" if some is None else f", such as {some!r}"
            raise DiaboloError(
                f"Column '{name}' is not numeric ({column.type}{example}): make numbers of it, "
                f"leave it out, or use it as the labels or the condition (labels='{name}')."
            )
        if values.null_count or not is_number(values.type) or pa.types.is_decimal(values.type):
            columns.append(as_numbers(column, name))
        elif pa.types.is_boolean(values.type):
            columns.append(values.cast(pa.uint8()).to_numpy(zero_copy_only=False))
        else:
            columns.append(values.to_numpy(zero_copy_only=False))
    return np.stack(columns, axis=1)
