"""Tables: CSV with any usual separator, with or without a header, Parquet and Arrow."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ...errors import DiaboloError
from ..fetch import contents
from ..found import Found
from ..memory import from_frame
from ..table.types import is_text, pc
from .ask import Ask, shards
from .columns import COLUMNS, read_columns, whole_table

__all__ = ["ENDINGS", "as_it_is", "as_written", "is_table", "of_text", "table"]

TEXTS = (".csv", ".tsv", ".txt", ".data")
ENDINGS = (*TEXTS, *COLUMNS)
OPTIONS: tuple[str, ...] = ("labels", "condition", "memory")
SHARDS: tuple[str, ...] = COLUMNS
HEAD = 1 << 20
COMMA = r"\s*-?\d*,\d+(e-?\d+)?\s*"


def is_table(path: str | Path, endings: tuple[str, ...] = ENDINGS) -> bool:
    """Whether the ending of a file's name, gzipped or not, is that of a table."""
    return Path(path).name.lower().removesuffix(".gz").endswith(endings)


def table(path: Path, ask: Ask) -> Found:
    """Returns the columns of a table, with those asked for as labels and conditions apart.

    Raises:
        DiaboloError: If it is damaged, or a column is lacking.
    """
    if path.is_dir() or path.name.lower().endswith(COLUMNS):
        return read_columns(path, shards(path, SHARDS), ask)
    read, notes = _text(path)
    found = from_frame(
        read,
        columns=ask.features,
        label=None if ask.config.labels == "none" else ask.config.labels,
        conditions=ask.conditions,
        strict=not ask.features,
        library="file",
    )
    return replace(found, notes=(*notes, *found.notes))


def as_it_is(path: Path) -> pa.Table:
    """Returns all columns of a table in a file or a folder, which no schema was asked of.

    Raises:
        DiaboloError: If it is damaged.
    """
    if path.is_dir() or path.name.lower().endswith(COLUMNS):
        return whole_table(path, shards(path, SHARDS))
    return _text(path)[0]


def _text(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """Returns the table in a file of text, and sentences about what was guessed."""
    return of_text(contents(path), path)


def of_text(raw: bytes, path: Path | str) -> tuple[pa.Table, tuple[str, ...]]:
    """Returns the table in a text, and sentences about what was guessed.

    Arguments:
        raw: The text.
        path: Where it is from, or what to call it in a sentence.

    Raises:
        DiaboloError: If it is empty or damaged.
    """
    if not raw.strip():
        raise DiaboloError(f"The table '{path}' is empty.")
    try:
        raw, told = _as_utf8(raw)
        read, notes = _csv(raw, path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, csv.Error) as error:
        reason = str(error).split("\n")[0]
        raise DiaboloError(f"Cannot read the table '{path}': {reason}") from None
    return read, (*told, *notes)


def _as_utf8(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns a text in UTF-8, and a sentence where its encoding was a guess."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace").encode(), ()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        text, name = _one_byte(raw)
        note = f"The table is not UTF-8: read as {name}. If names look wrong, save it as UTF-8."
        return text.encode(), (note,)
    return raw, ()


def _one_byte(raw: bytes) -> tuple[str, str]:
    """Returns a text whose characters are one byte each, and the name of its encoding."""
    try:
        return raw.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:  # at five bytes that it leaves open
        return raw.decode("latin-1"), "Latin-1"


def as_written(path: Path) -> pa.Table | None:
    """Returns the cells of a file of text as they stand there, but for quotes.

    None if it is no such file, or its numbers have decimal commas.
    """
    if not path.is_file() or not is_table(path, TEXTS):
        return None
    raw = _as_utf8(contents(path))[0]
    read, parse, _ = _layout(raw, path)
    names = pyarrow.csv.open_csv(io.BytesIO(raw), read, parse).schema.names
    types = dict.fromkeys(names, pa.large_string())
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[])
    found = pyarrow.csv.read_csv(io.BytesIO(raw), read, parse, convert)
    commas = parse.delimiter != "," and any(
        pc.any(pc.match_substring(c, ",")).as_py() and _decimal_comma(c) for c in found.columns
    )
    return None if commas else found


def _csv(raw: bytes, path: Path | str) -> tuple[pa.Table, tuple[str, ...]]:
    read, parse, notes = _layout(raw, path)
    found = _read(raw, read, parse)
    text = [n for n, t in zip(found.column_names, found.schema.types, strict=True) if is_text(t)]
    if parse.delimiter != "," and any(_decimal_comma(found[n]) for n in text):
        found = _read(raw, read, parse, decimal_point=",")
        notes = (*notes, "Numbers are written with decimal commas.")
    return found, notes


def _layout(
    raw: bytes, path: Path | str
) -> tuple[pyarrow.csv.ReadOptions, pyarrow.csv.ParseOptions, tuple[str, ...]]:
    """Returns how a text is cut into cells, and sentences about what was guessed."""
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
    return read, pyarrow.csv.ParseOptions(delimiter=separator), notes


def _read(
    raw: bytes, read: pyarrow.csv.ReadOptions, parse: pyarrow.csv.ParseOptions, **options: Any
) -> pa.Table:
    """Returns a table; `?`, `NA` and the like are missing values, blanks around text are none."""
    words = [*pyarrow.csv.ConvertOptions().null_values, "?"]
    convert = pyarrow.csv.ConvertOptions(null_values=words, strings_can_be_null=True, **options)
    try:
        found = pyarrow.csv.read_csv(io.BytesIO(raw), read, parse, convert)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        # A value far down is not of the type that the first ones have: all is read as text.
        first = pyarrow.csv.open_csv(io.BytesIO(raw), read, parse).schema.names
        convert.column_types = dict.fromkeys(first, pa.string())
        found = pyarrow.csv.read_csv(io.BytesIO(raw), read, parse, convert)
    columns = [_trimmed(c, words, options.get("decimal_point", ".")) for c in found.columns]
    return pa.table(columns, names=found.column_names)


def _trimmed(column: pa.ChunkedArray, words: list[str], point: str) -> pa.ChunkedArray:
    """Returns a column of text without blanks at its ends, or what it is text of."""
    if not is_text(column.type):
        return column
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.is_in(text, value_set=pa.array(words)), pa.scalar(None, text.type), text)
    if text.null_count == len(text):
        return column.cast(pa.null()) if column.null_count == len(column) else text
    numbers = text if point == "." else pc.replace_substring(text, point, ".")
    for kind in (pa.int64(), pa.float64(), pa.date32(), pa.timestamp("s")):
        try:
            return (text if pa.types.is_temporal(kind) else numbers).cast(kind)
        except pa.ArrowInvalid:
            continue
    return text


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
