"""Cells of a CSV file that a verb gives back as they were written, and new ones written alike.

A cell that was there keeps its letters: `True`, `57.0`, `007`, `NA`. New truth values are spelled
as those of their column, and new numbers have as many decimals as its numbers have at least.

Shapes: n rows of the source, m rows of the result.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

__all__ = ["Written", "spelled", "write_cells"]

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers
DECIMALS = re.compile(r"\s*[-+]?\d*\.(\d+)\s*")
LONG, SHORT = 1e16, 1e-5  # between which numbers are written without an exponent


class Written(NamedTuple):
    """Where the cells of a result come from.

    Attributes:
        source: The file.
        rows: The row of the source that each row is, (m,); -1 where it is none.
        new: Which cells of these columns are not the source's, (m,) each.
    """

    source: Path
    rows: NDArray[np.int64]
    new: Mapping[str, NDArray[np.bool_]]


def spelled(table: pa.Table, written: Written) -> pa.Table | None:
    """Returns a result as text, or None where its source has no text to take over.

    Arguments:
        table: The result, (m, columns).
        written: Where its cells come from.
    """
    from ..data.readers.table import as_written

    raw = as_written(written.source)
    if raw is None or len(raw) != int(written.rows.max(initial=-1)) + 1:
        return None
    own = written.rows >= 0
    where = pa.array(np.where(own, written.rows, 0), mask=~own)
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name not in raw.column_names:
            columns[name] = _text(column, None, np.ones(len(column), bool))
            continue
        there = raw[name].take(where).combine_chunks()
        new = written.new.get(name, np.zeros(len(column), bool)) | ~own
        new &= ~pc.is_null(column, nan_is_null=True).to_numpy()
        text = _text(column, raw[name], new)
        columns[name] = pc.if_else(pa.array(new), text, there)
    return pa.table(columns)


def write_cells(table: pa.Table, file: io.BufferedIOBase) -> None:
    """Writes a table of text as CSV, with quotes where they are needed."""
    out = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
    out.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=1 << 16):
        out.writerows(zip(*(c.to_pylist() for c in batch.columns), strict=True))


def _text(column: pa.ChunkedArray, like: pa.ChunkedArray | None, new: NDArray[np.bool_]) -> Any:
    """Returns values (m,) as text, where they are new, written as those of a column are."""
    if pa.types.is_boolean(column.type):
        words = {True: "true", False: "false"}
        if like is not None:
            words |= _words(like)
        return pa.array([None if v is None else words[v] for v in column.to_pylist()])
    if pa.types.is_floating(column.type):
        least = 0 if like is None else _decimals(like)
        out: list[str | None] = [None] * len(column)
        values = column.to_numpy()
        for i in np.flatnonzero(new).tolist():
            out[i] = _number(values[i], least)
        return pa.array(out, pa.large_string())
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.large_string()).combine_chunks()


def _words(like: pa.ChunkedArray) -> dict[bool, str]:
    """Returns how truth values are spelled in a column."""
    found = {v.strip().lower(): v.strip() for v in pc.unique(like).to_pylist() if v}
    out = {
        value: found[word] for value, word in ((True, "true"), (False, "false")) if word in found
    }
    if len(out) == 1:  # the other one in the same case
        ((value, word),) = out.items()
        other = "false" if value else "true"
        out[not value] = other.upper() if word.isupper() else other
        if word.istitle():
            out[not value] = other.title()
    return out


def _decimals(like: pa.ChunkedArray) -> int:
    """Returns the least number of decimals in a column; 0 where one has none or an exponent."""
    found = []
    for text in pc.unique(like).to_pylist():
        match = DECIMALS.fullmatch(text)
        if match:
            found.append(len(match[1]))
        elif re.search(r"\d", text):
            return 0
    return min(found, default=0)


def _number(value: Any, least: int) -> str:
    """Returns the shortest decimal number that is the value, in float32 where that holds it."""
    if np.isnan(value):
        return ""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    kept = narrow if narrow == value else value
    if value and not SHORT <= abs(value) < LONG:
        return f"{kept!s}"
    return np.format_float_positional(
        kept, trim="-" if not least else "k", min_digits=least or None
    )
