"""Arrow's types by their names, and columns of them as numbers and as text.

Shapes: n rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ...errors import DiaboloError
from ..mapped import Array

__all__ = [
    "PLAIN",
    "as_numbers",
    "as_text",
    "as_times",
    "blank",
    "is_date",
    "is_number",
    "is_plain",
    "is_text",
    "mostly",
    "pc",
    "plain",
    "type_of",
]

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers
PLAIN = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
DICTIONARY = re.compile(r"dictionary<values=(.*), indices=(\w+), ordered=([01])>")
ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.*)\]")
DECIMAL = re.compile(r"(decimal(?:32|64|128|256))\((\d+), (-?\d+)\)")


def type_of(text: str) -> pa.DataType:
    """Returns the type that Arrow prints so; that of nothing but nulls if it is not known."""
    if found := DICTIONARY.fullmatch(text):
        values, indices = type_of(found[1]), pa.type_for_alias(found[2])
        return pa.dictionary(indices, values, ordered=found[3] == "1")
    if found := ZONED.fullmatch(text):
        return pa.timestamp(found[1], tz=found[2])
    if found := DECIMAL.fullmatch(text):
        return getattr(pa, found[1])(int(found[2]), int(found[3]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return pa.null()


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text."""
    tests = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(test(kind) for test in tests)


def is_number(kind: pa.DataType) -> bool:
    """Whether values of this type are numbers or truth values."""
    tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean
    return any(test(kind) for test in tests)


def is_date(kind: pa.DataType) -> bool:
    """Whether values of this type are dates, with or without a time of day."""
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of this type are numbers, text or dates, or none, and so no lists or spans."""
    return is_text(kind) or is_number(kind) or is_date(kind) or pa.types.is_null(kind)


def plain(column: pa.ChunkedArray) -> pa.Array:
    """Returns a column in one piece, without a dictionary, and with empty text as null."""
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # of no chunk at all
        found = pa.array([], found.type)
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    if is_text(found.type):
        found = found.cast(pa.large_string())
        empty = pc.equal(found, "")
        if pc.any(empty).as_py():
            found = pc.if_else(empty, pa.scalar(None, found.type), found)
    return found


def blank(values: Any) -> bool:
    """Whether no value is there; one of no row at all is blank."""
    return bool(pc.all(pc.is_null(values, nan_is_null=True), min_count=0).as_py())


def mostly(texts: pa.Array) -> tuple[str, pa.Array]:
    """Returns of which there are more in text, `numbers` or `dates`, and where (n,)."""
    unique = pc.unique(texts.drop_null())
    numbers = pc.match_substring_regex(unique, PLAIN)
    days = pc.utf8_slice_codeunits(unique, 0, 10)
    days = pc.is_valid(pc.strptime(days, format="%Y-%m-%d", unit="s", error_is_null=True))
    dates = pc.and_(pc.match_substring_regex(unique, r"^\d{4}-\d\d-\d\d([ T].*)?$"), days)
    found = {"numbers": numbers, "dates": dates}
    where = {k: pc.is_in(texts, value_set=unique.filter(v)) for k, v in found.items()}
    what = max(where, key=lambda k: pc.sum(where[k]).as_py())
    return what, where[what]


def as_numbers(column: pa.ChunkedArray, name: str) -> Array:
    """Returns numbers (n,), float64, NaN where one is missing.

    Raises:
        DiaboloError: At a value that is no number, naming the column and the row.
    """
    values = plain(column)
    if not is_number(values.type) and blank(values):  # of any type
        return np.full(len(values), np.nan)
    if is_text(values.type):
        try:
            values = values.cast(pa.float64())
        except pa.ArrowInvalid:
            row, text = _first_bad(values, float)
            raise DiaboloError(
                f"Column '{name}' holds numbers, but row {row} has the text '{text}': mend it, or "
                "leave it empty if it is missing."
            ) from None
    if not is_number(values.type):
        raise DiaboloError(
            f"Column '{name}' holds numbers, but these are {column.type}: give numbers."
        )
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)  # whole numbers above 2**53 are rounded
    return values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def as_times(column: pa.ChunkedArray, name: str) -> Array:
    """Returns microseconds since 1970 (n,), float64, NaN where one is missing.

    Raises:
        DiaboloError: At a value that is no date, naming the column and the row.
    """
    values = plain(column)
    if blank(values):  # of any type
        return np.full(len(values), np.nan)
    if is_text(values.type):
        try:
            values = values.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            row, text = _first_bad(values, _as_time)
            raise DiaboloError(
                f"Column '{name}' holds dates, but '{text}' in row {row} is none: write dates as "
                "2026-01-31 or 2026-01-31 12:00:00."
            ) from None
    if not is_date(values.type):
        raise DiaboloError(
            f"Column '{name}' holds dates, but these are {column.type}: give dates, or text such "
            "as 2026-01-31."
        )
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    micros = values.cast(pa.timestamp("us", tz=zone), safe=False).cast(pa.int64())
    return micros.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Returns text, as whole numbers and truth values are usually written."""
    values = plain(column)
    if pa.types.is_floating(values.type):
        numbers = values.to_numpy(zero_copy_only=False)
        seen = numbers[~np.isnan(numbers)]
        if len(seen) and (seen == np.rint(seen)).all():
            values = pa.array(numbers, from_pandas=True).cast(pa.int64())
        else:
            values = pa.array(numbers, from_pandas=True)
    return values.cast(pa.large_string())


def _as_time(text: str) -> pa.Scalar:
    return pa.scalar(text).cast(pa.timestamp("us"))


def _first_bad(values: pa.Array, read: Callable[[str], object]) -> tuple[int, str]:
    """Returns the first text that cannot be read, and its row."""
    for row, text in enumerate(values.to_pylist()):
        try:
            if text is not None:
                read(text)
        except (ValueError, pa.ArrowInvalid):
            return row, text
    return 0, str(values[0])
