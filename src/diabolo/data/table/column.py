"""One column of a table: from its values to numbers, and back.

Categories and ordinals become codes 0, 1, ..., truth values 0 and 1, dates days since the first
one. What is missing is NaN.

Shapes: n rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...errors import DiaboloError
from ..mapped import Array
from .kinds import Kind
from .steps import on_steps
from .types import as_numbers, as_text, as_times, is_date, is_text, pc, type_of

__all__ = ["DAY", "Column", "Level", "Unseen"]

Level = str | int | float | bool
Unseen = Literal["refuse", "missing"]
DAY = 86_400e6  # microseconds
GOLDEN = 0.6180339887498949  # its multiples fill the unit interval evenly


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column is, and how its values become numbers.

    Arguments:
        name: Its name.
        kind: What its values are.
        type: Arrow's type of them.
        dtype: How the library of the frame prints that type; empty for files.
        levels: The values of codes 0, 1, ..., of a category or an ordinal.
        pooled: Rare values that share the code behind those.
        weights: How often each of them comes in training.
        categories: All categories of a column whose type has such, seen or not.
        origin: The date whose number is 0, in microseconds since 1970.
        daily: Whether dates have no time of day.
        step: What all numbers, or dates as numbers, are multiples of; None for none.
    """

    name: str
    kind: Kind
    type: str
    dtype: str = ""
    levels: tuple[Level, ...] = ()
    pooled: tuple[Level, ...] = ()
    weights: tuple[int, ...] = ()
    categories: tuple[Level, ...] = ()
    origin: int = 0
    daily: bool = False
    step: float | None = None

    @property
    def count(self) -> int:
        """The number of codes; 0 where values are none."""
        return len(self.levels) + bool(self.pooled)

    @property
    def support(self) -> str:
        """The support of its numbers, as in a `Spec`; a code that is always the same is real."""
        if self.kind in ("category", "ordinal"):
            return f"{self.kind}:{self.count}" if self.count > 1 else "real"
        return {"boolean": "binary", "date": "real"}.get(self.kind, self.kind)

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers, so that an array can hold them."""
        texts = any(isinstance(v, str) for v in self.levels + self.pooled)
        return self.kind != "date" and not texts

    def encode(self, values: pa.ChunkedArray, unseen: Unseen = "refuse") -> Array:
        """Returns numbers (n,), float64, with NaN where a value is missing.

        Arguments:
            values: The column.
            unseen: What becomes of levels that training had not, where rare ones were not pooled.

        Raises:
            DiaboloError: At a value that the column cannot have, naming it and the row.
        """
        if self.kind == "date":
            return (as_times(values, self.name) - self.origin) / DAY
        if self.kind in ("category", "ordinal"):
            return self._codes(values, unseen)
        return as_numbers(values, self.name)

    def numbers(self, values: Array, unseen: Unseen = "refuse") -> Array:
        """Returns the same for a column (n,) of numbers in an array."""
        if self.kind not in ("category", "ordinal"):
            return values
        return self._codes(pa.chunked_array([pa.array(values, from_pandas=True)]), unseen)

    def _codes(self, values: pa.ChunkedArray, unseen: Unseen) -> Array:
        known = self.levels + self.pooled
        if any(isinstance(v, str) for v in known):
            found = as_text(values)
            codes = pc.index_in(found, value_set=pa.array(list(map(str, known)), found.type))
        else:
            found = pa.array(as_numbers(values, self.name), from_pandas=True)
            codes = pc.index_in(found, value_set=pa.array([float(v) for v in known], pa.float64()))
        # To int64 first: a short array of none but nulls has no floats of its own.
        numbers = codes.cast(pa.float64()).to_numpy(zero_copy_only=False)
        numbers = np.minimum(numbers, len(self.levels))
        new = pc.and_(pc.is_valid(found), pc.is_null(codes)).to_numpy(zero_copy_only=False)
        if not new.any():
            return numbers
        if self.pooled:
            numbers[new] = len(self.levels)
        elif unseen == "refuse":
            row = int(new.nonzero()[0][0])
            few = ", ".join(str(v) for v in known[:10])
            more = f" and {len(known) - 10} more" if len(known) > 10 else ""
            value = found[row].as_py()
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            raise DiaboloError(
                f"Column '{self.name}' has the level '{value}' in row {row}, which was not there "
                f"in training ({few}{more}): mend it or leave it empty; a run that is fitted with "
                "data.unseen=missing takes such levels as missing."
            )
        return numbers

    def stepped(self, numbers: Array, support: str | None = None) -> Array:
        """Returns drawn numbers (n,) on the steps of its values, and inside their support.

        Arguments:
            numbers: Those of a model; NaN is missing.
            support: What that is; None for the column's own.
        """
        return numbers if self.step is None else on_steps(numbers, self.step, support or self.kind)

    def decode(self, numbers: Array) -> pa.Array:
        """Returns values (n,) of the column's type from numbers of a model; NaN is missing.

        Of rare levels that share a code, row by row, each is given as often as it came.
        """
        kind, missing = type_of(self.type), np.isnan(numbers)
        if missing.all():
            return pa.nulls(len(numbers), kind)
        filled = np.where(missing, 0.0, numbers.astype(np.float64))
        if self.kind in ("category", "ordinal"):
            return self._levels(filled, missing, kind)
        if self.kind == "date":
            days = np.rint(filled) if self.daily else filled
            micros = np.rint(days * DAY).astype(np.int64) + self.origin
            return _dates(micros, missing, kind)
        if self.kind == "boolean":
            filled = (filled >= 0.5).astype(np.float64)
        if pa.types.is_decimal(kind) and self.dtype == "object":  # as narrow as its values
            kind = pa.decimal128(38, kind.scale)
        return _numbers(filled, missing, kind)

    def _levels(self, codes: Array, missing: Array, kind: pa.DataType) -> pa.Array:
        whole = np.rint(codes).astype(np.int64).clip(0, max(0, self.count - 1))
        if self.pooled:
            rare = whole == len(self.levels)
            share = np.cumsum(self.weights) / sum(self.weights)
            place = (np.arange(1, rare.sum() + 1) * GOLDEN) % 1
            which = np.searchsorted(share, place, side="right").clip(max=len(share) - 1)
            whole[rare] = len(self.levels) + which
        known: list[Any] = list(self.levels + self.pooled)
        if pa.types.is_dictionary(kind):
            index = pa.array(whole.astype(np.int32), mask=missing)
            spread = [*self.categories, *(v for v in known if v not in self.categories)]
            place = pa.array([spread.index(v) for v in known], pa.int32())
            index = place.take(index).cast(kind.index_type)
            values = pa.array(spread, kind.value_type)
            return pa.DictionaryArray.from_arrays(index, values, ordered=kind.ordered)
        return pa.array(known).take(pa.array(whole, mask=missing)).cast(kind)


def _numbers(values: Array, missing: Array, kind: pa.DataType) -> pa.Array:
    if is_text(kind):
        whole = bool((values == np.rint(values)).all())
        numbers = pa.array(values.astype(np.int64) if whole else values, mask=missing)
        return numbers.cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(values >= 0.5, mask=missing)
    if pa.types.is_integer(kind):
        limits = np.iinfo(kind.to_pandas_dtype())
        values = np.rint(values).clip(limits.min, limits.max)
        return pa.array(values.astype(np.int64), mask=missing).cast(kind)
    if pa.types.is_decimal(kind):
        most = 10.0 ** (kind.precision - kind.scale) - 10.0**-kind.scale
        values = values.clip(-np.nextafter(most, 0), np.nextafter(most, 0))
    return pa.array(values, mask=missing).cast(kind)


def _dates(micros: Array, missing: Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_date(kind):
        micros = np.rint(micros / DAY).astype(np.int64) * int(DAY)
    found = pa.array(micros, mask=missing).cast(pa.timestamp("us"))
    if is_text(kind):
        days = bool((micros % int(DAY) == 0).all())
        return found.cast(pa.date32()).cast(kind) if days else found.cast(kind)
    if not is_date(kind):
        return found
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        found = found.cast(pa.timestamp("us", tz=kind.tz))
    return found.cast(kind, safe=False)
