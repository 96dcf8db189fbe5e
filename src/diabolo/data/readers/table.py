"""Numeric tables: CSV with any usual separator, with or without a header, Parquet and Arrow."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ...errors import DiaboloError
from ..fetch import contents
from ..found import Found
from ..memory import from_frame
from .ask import Ask, shards
from .columns import COLUMNS, read_columns

__all__ = ["ENDINGS", "table"]

ENDINGS = (".csv", ".tsv", ".txt", ".data", *COLUMNS)
OPTIONS: tuple[str, ...] = ("labels", "condition", "memory")
SHARDS: tuple[str, ...] = COLUMNS
HEAD = 1 << 20
COMMA = r"\s*-?\d*,\d+(e-?\d+)?\s*"


def table(path: Path, ask: Ask) -> Found:
    """Returns the numeric columns of a table, with the columns asked for as labels, conditions.

    Raises:
        DiaboloError: If it is damaged, or a column is lacking or holds no numbers.
    """
    if path.is_dir() or path.name.lower().endswith(COLUMNS):
        return read_columns(path, shards(path, SHARDS), ask)
    raw = contents(path)
    if not raw.strip():
        raise DiaboloError(f"The table '{path}' is empty.")
    try:
        raw, told = _as_utf8(raw)
        read, notes = _csv(raw, path)
        notes = (*told, *notes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise DiaboloError(f"Cannot read the table '{path}': {reason}") from None
    found = from_frame(
        read,
        columns=ask.features,
        label=None if ask.config.labels == "none" else ask.config.labels,
        conditions=ask.conditions,
        strict=not ask.features,
    )
    return replace(found, notes=(*notes, *found.notes))


def _as_utf8(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns a text in UTF-8, and a sentence where its encoding was a guess."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace").encode(), ()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        note = "The table is not UTF-8: read as Latin-1. If names look wrong, save it as UTF-8."
        return raw.decode("latin-1").encode(), (note,)
    return raw, ()


def _csv(raw: bytes, path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    head = raw[:HEAD].decode("utf-8-sig", errors="replace").splitlines()
    whole = head if len(raw) <= HEAD else head[:-1]
    lines = [line for line in whole if line.strip()][:20]
    if not lines:
        raise DiaboloError(f"The first line of '{path}' is longer than a table's.")
    separator = _separator(lines)
    fields = next(csv.reader([lines[0]], delimiter=separator))
    header, notes = _header(fields)
    read = pyarrow.csv.ReadOptions(
        autogenerate_column_names=False,
        column_names=None if header else [f"column {i}" for i in range(len(fields))],
    )
    parse = pyarrow.csv.ParseOptions(delimiter=separator)
    found = pyarrow.csv.read_csv(io.BytesIO(raw), read, parse)
    text = [n for n, t in zip(found.column_names, found.schema.types, strict=True) if _is_text(t)]
    if separator != "," and any(_decimal_comma(found[n]) for n in text):
        convert = pyarrow.csv.ConvertOptions(decimal_point=",")
        found = pyarrow.csv.read_csv(io.BytesIO(raw), read, parse, convert)
        notes = (*notes, "Numbers are written with decimal commas.")
    return found, notes


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _decimal_comma(column: pa.ChunkedArray) -> bool:
    some = [v for v in column.slice(0, 20).to_pylist() if v]
    return bool(some) and all(re.fullmatch(COMMA, v) or re.fullmatch(r"-?\d+", v) for v in some)


def _separator(lines: list[str]) -> str:
    """Returns the separator that splits all lines alike and into the most fields."""
    best, most = ",", 1
    for separator in (";", "\t", "|", ",", " "):
        counts = {len(f) for f in csv.reader(lines, delimiter=separator)}
        if len(counts) == 1 and (count := counts.pop()) > most:
            best, most = separator, count
            break
    return best


def _header(fields: list[str]) -> tuple[bool, tuple[str, ...]]:
    """Returns whether the first line names the columns, and a sentence where it was a guess."""
    if len(fields) > 2 and fields == [str(i) for i in range(len(fields))]:
        return True, ("The first line counts the columns: read as their names.",)
    for field in fields:
        try:
            float(field.replace(",", "."))
        except ValueError:
            continue
        return False, ()
    return True, ()
