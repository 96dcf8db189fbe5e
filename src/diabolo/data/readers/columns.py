"""Parquet and Arrow (Feather) files, one or a folder of them: whole, or decoded once to the cache.

Columns are decoded a piece at a time to rows in one file, which training reads in any order. The
files of a folder are one data set, in the order of their names, with the same columns.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from ...errors import DiaboloError, unknown
from ..cache import Writer, decoded, state_of
from ..found import Array, Found, Rows
from ..mapped import mapping
from ..memory import INDEX, INDEX_NOTE, from_frame
from ..table import Frame, need_columns, numbers_of
from ..table.types import is_number
from .ask import Ask, without_rows

__all__ = ["COLUMNS", "read_columns", "whole_table"]

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather")
COLUMNS = PARQUET + ARROW
PIECE = 1 << 22  # numbers that are decoded at once


def read_columns(path: Path, files: Sequence[Path], ask: Ask) -> Found:
    """Returns the columns of files, with those asked for as labels and conditions.

    Arguments:
        path: The file, or the folder.
        files: The file, or those of the folder.
        ask: What is asked for.

    Raises:
        DiaboloError: If a file is damaged or has other columns, a column is lacking, text is to
            stay in its file, or the cache cannot be written.
    """
    label = None if ask.config.labels == "none" else ask.config.labels
    try:
        count, schema, kept = _alike(files)
        aside = {*ask.conditions, *([label] if label else [])}
        names = [n for n in (ask.features or schema.names) if n not in aside]
        numeric = [schema.field(n).type for n in names if n in schema.names]
        wide = max((t.bit_width for t in numeric if pa.types.is_primitive(t)), default=64)
        other = [n for n in names if n in schema.names and not is_number(schema.field(n).type)]
        if other and ask.config.memory == "mapped" and aside <= set(schema.names):
            raise DiaboloError(
                f"Column '{other[0]}' is not numeric ({schema.field(other[0]).type}), and only "
                "numbers can stay in their file: say data.memory=whole, or leave the column out."
            )
        text = other and ask.config.memory != "mapped"
        if text or not count or not mapping(ask.config.memory, count * len(names) * wide // 8):
            whole = pa.concat_tables(map(_table, kept), promote_options="permissive")
            found = from_frame(
                whole,
                columns=ask.features,
                label=label,
                conditions=ask.conditions,
                strict=not ask.features,
                library="file",
            )
        else:
            found = _decoded(path, kept, ask, label, schema)
        return replace(found, notes=(*without_rows(files, kept), *found.notes))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DiaboloError(f"Cannot read the table '{path}': {reason}") from None


def whole_table(path: Path, files: Sequence[Path]) -> pa.Table:
    """Returns all columns of files, one under the other.

    Raises:
        DiaboloError: If a file is damaged or has other columns.
    """
    try:
        return pa.concat_tables(map(_table, _alike(files)[2]), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DiaboloError(f"Cannot read the table '{path}': {reason}") from None


def _alike(files: Sequence[Path]) -> tuple[int, pa.Schema, list[Path]]:
    """Returns how many rows there are, the columns, and the files, which all have those columns.

    Files without rows are left out; if all are, the first stays.
    """
    count, first = 0, None
    kept: list[Path] = []
    for path in files:
        rows, schema = _head(path)
        if not rows:
            continue
        if first is not None and schema.names != first.names:
            odd = next(iter(sorted({*schema.names} ^ {*first.names})), "in another order")
            raise DiaboloError(
                f"Expected files with the same columns, but those of '{kept[0]}' and '{path}' "
                f"differ: {odd}."
            )
        first = first or schema
        count += rows
        kept.append(path)
    return (count, first, kept) if first is not None else (*_head(files[0]), [files[0]])


def _head(path: Path) -> tuple[int, pa.Schema]:
    if path.name.lower().endswith(PARQUET):
        head = pyarrow.parquet.read_metadata(path)
        return head.num_rows, head.schema.to_arrow_schema()
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        batches = range(reader.num_record_batches)
        return sum(reader.get_batch(i).num_rows for i in batches), reader.schema


def _table(path: Path) -> pa.Table:
    if path.name.lower().endswith(PARQUET):
        return pyarrow.parquet.read_table(path)
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _batches(
    files: Sequence[Path], columns: Sequence[str] | None, rows: int
) -> Iterator[pa.RecordBatch]:
    """Yields at most so many rows of columns at a time; None for all columns."""
    for path in files:
        if path.name.lower().endswith(PARQUET):
            names = None if columns is None else list(columns)
            with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
                yield from file.iter_batches(max(1, rows), columns=names)
            continue
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                batch = batch if columns is None else batch.select(list(columns))
                for first in range(0, batch.num_rows, max(1, rows)):
                    yield batch.slice(first, rows)


def _decoded(
    path: Path, files: Sequence[Path], ask: Ask, label: str | None, schema: pa.Schema
) -> Found:
    """Returns the columns of numbers from the cache, and the others in memory."""
    names = schema.names
    asked = () if ask.features else (*([label] if label else []), *ask.conditions)
    need_columns(ask.features, names)
    for name in asked:
        if name not in names:
            raise unknown("column", name, names)
    beside = [
        n for n in dict.fromkeys((*([label] if label else []), *ask.conditions)) if n in names
    ]
    columns = ask.features or tuple(n for n in names if n not in beside)
    notes: list[str] = []
    rows = max(1, PIECE // max(1, len(columns)))
    if not ask.features and columns and INDEX.fullmatch(columns[0]) and _counts(files, columns[0]):
        columns, notes = columns[1:], [INDEX_NOTE]

    def write(out: Writer) -> dict[str, Any]:
        dtype: np.dtype[Any] | None = None
        begun = False
        while not begun:
            out.clear()
            begun = True
            for batch in _batches(files, columns, rows):
                if not batch.num_rows:
                    continue
                x = _numbers(batch, columns)
                both = x.dtype if dtype is None else np.result_type(dtype, x.dtype)
                if out.rows and both != dtype:
                    dtype, begun = both, False  # what was written is too narrow
                    break
                dtype = both
                out.append(x.astype(dtype, copy=False))
        return {}

    state = state_of(files, path if path.is_dir() else path.parent)
    found = decoded(path, {"columns": list(columns)}, state, write)
    pa.default_memory_pool().release_unused()
    kept = pa.Table.from_batches(_batches(files, beside, 1 << 16)) if beside else None
    extra: dict[str, Array] = {} if kept is None else {n: _plain(kept[n]) for n in beside}
    labels = extra.get(label) if label else None
    conditions = {n: extra[n] for n in ask.conditions if n in extra}
    return Found(
        Rows(found.x, labels, conditions),
        columns=columns,
        layout="vector",
        label=label or "labels",
        notes=tuple(notes),
        types={n: str(schema.field(n).type) for n in columns},
    )


def _numbers(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Array:
    return numbers_of(Frame.of(pa.Table.from_batches([batch]), columns))


def _plain(column: pa.ChunkedArray) -> Array:
    return nw.from_native(column, series_only=True).to_numpy()


def _counts(files: Sequence[Path], column: str) -> bool:
    """Whether a column counts the rows."""
    before = 0
    for batch in _batches(files, [column], 1 << 16):
        values = batch.column(0).to_numpy(zero_copy_only=False)
        if not np.array_equal(values, np.arange(before, before + len(values))):
            return False
        before += len(values)
    return True
