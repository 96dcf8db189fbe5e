"""Data frames of any library, held as Arrow columns until their kinds are known, and back.

Shapes: n rows.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
from narwhals.exceptions import DuplicateError

from ...errors import DiaboloError, near
from ...registry import parse_call
from ..mapped import Array
from .types import is_date, is_number, plain, type_of

__all__ = [
    "Frame",
    "eager",
    "is_frame",
    "label_values",
    "named",
    "native",
    "need_columns",
    "to_arrow",
    "to_library",
]

SHOWN = 5  # names in one sentence
LIBRARIES = ("pandas", "polars", "pyarrow")
ARROW = "[pyarrow]"  # ends the names of pandas' types that are Arrow's
WHOLE = re.compile(r"u?int\d+|bool")  # pandas' types without a value for what is missing


@dataclass(frozen=True, eq=False)
class Frame:
    """The columns of a table, as Arrow has them.

    Arguments:
        columns: The columns by name, each of n rows.
        library: What the table is a frame of: `pandas`, `polars`, `pyarrow`, or `file`.
        dtypes: How that library prints the types of the columns.
        every: The names of all columns of the table, those that were not taken too.
    """

    columns: Mapping[str, pa.ChunkedArray]
    library: str
    dtypes: Mapping[str, str] = field(default_factory=dict)
    every: tuple[str, ...] = ()

    def __len__(self) -> int:
        return next((len(c) for c in self.columns.values()), 0)

    def select(self, names: Sequence[str]) -> Frame:
        """Returns some of the columns, in this order."""
        return replace(self, columns={n: self.columns[n] for n in names})

    @classmethod
    def of(
        cls, value: Any, names: Sequence[str] | None = None, *, library: str | None = None
    ) -> Frame:
        """Returns columns of a data frame, or of an Arrow table read from a file.

        Arguments:
            value: The frame.
            names: The columns to take; None takes all.
            library: What to say that it is of; None finds out.

        Raises:
            DiaboloError: If two columns have one name, or a column has values of several types.
        """
        table = eager(value)
        every = {str(c): c for c in table.columns}
        own = table.implementation.value
        own = own if own in LIBRARIES else "pandas"
        columns: dict[str, pa.ChunkedArray] = {}
        dtypes: dict[str, str] = {}
        frame = table.to_native()
        for name in every if names is None else names:
            columns[name] = _arrow(table.get_column(every[name]), name)
            if own != "pyarrow":
                series = frame[every[name]] if own == "pandas" else table.get_column(every[name])
                dtypes[name] = str(series.dtype)
        return cls(columns, library or own, dtypes, tuple(every))


def is_frame(value: Any) -> bool:
    """Whether this is a data frame of any library that narwhals knows.

    Raises:
        DiaboloError: If it is one with two columns of the same name.
    """
    return isinstance(native(value), (nw.DataFrame, nw.LazyFrame))


def eager(value: Any) -> nw.DataFrame[Any]:
    """Returns a data frame of any library as narwhals knows it, its rows read.

    Raises:
        DiaboloError: If two of its columns have one name.
    """
    table = native(value)
    return table.collect() if isinstance(table, nw.LazyFrame) else table


def native(value: Any) -> Any:
    """Returns a data frame as narwhals knows it; anything else as it is.

    Raises:
        DiaboloError: If two of its columns have one name.
    """
    try:
        return nw.from_native(value, pass_through=True)
    except DuplicateError as error:
        twice = re.search(r"- '(.*)' (\d+) times", str(error))
        name, count = twice.groups() if twice else ("?", "2")
        times = "twice" if count == "2" else f"{count} times"
        raise DiaboloError(
            f"Column '{name}' occurs {times}: give each column a name of its own."
        ) from None


def _arrow(series: Any, name: str) -> pa.ChunkedArray:
    try:
        found = series.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        some = [v for v in series.drop_nulls().to_list() if v == v]
        first = some[0] if some else None
        other = next((v for v in some if type(v) is not type(first)), None)
        if other is None:
            raise DiaboloError(
                f"Column '{name}' has values of type {type(first).__name__}, such as {first!r}: "
                "make numbers or text of them, or leave the column out."
            ) from None
        raise DiaboloError(
            f"Column '{name}' has values of several types, such as {first!r} and {other!r}: make "
            "one type of them, or leave the column out."
        ) from None
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def named(names: Iterable[object]) -> str:
    """Returns `'a', 'b' and 3 more`; a pair is a name and what is said of it."""
    every = [f"'{n[0]}' ({n[1]})" if isinstance(n, tuple) else f"'{n}'" for n in names]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def need_columns(wanted: Iterable[str], names: Sequence[str]) -> None:
    """Refuses a later table that lacks columns of the first.

    Arguments:
        wanted: The columns that a run reads.
        names: All columns of the table.

    Raises:
        DiaboloError: Naming what is lacking, what there is, and what to do.
    """
    wanted = list(wanted)
    lacking = [n for n in wanted if n not in names]
    if not lacking:
        return
    found = near(lacking[0], [n for n in names if n not in wanted])
    many, it = ("columns", "them") if len(lacking) > 1 else ("column", "it")
    hint = "" if found is None else f" Is '{found}' what it is called here?"
    raise DiaboloError(
        f"This table lacks the {many} {named(lacking)} of the data fitted; it has {named(names)}."
        f"{hint} Add {it}, or fit without {it}."
    )


def label_values(column: pa.ChunkedArray) -> Array:
    """Returns labels or conditions (n,) as NumPy has them; None or NaN where one is missing."""
    values = plain(column)
    if is_date(values.type):
        values = values.cast(pa.string())
    if is_number(values.type):
        values = values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values
        found = values.to_numpy(zero_copy_only=False)
        return found.astype(np.float64) if values.null_count and found.dtype == object else found
    return np.array(values.to_pylist(), dtype=object)


def to_arrow(value: Any) -> pa.Table:
    """Returns a data frame as an Arrow table."""
    table = native(value)
    return table if isinstance(table, pa.Table) else table.to_arrow()


def to_library(
    table: pa.Table,
    library: str,
    dtypes: Mapping[str, str],
    categories: Mapping[str, Sequence[Any]],
    like: Any = None,
) -> Any:
    """Returns an Arrow table as a data frame.

    Arguments:
        table: The columns.
        library: What it is to be of: `pandas`, `polars`, `pyarrow`, or `file`, which is pandas
            where that is installed and else Arrow.
        dtypes: How the library prints the types of its columns; empty to leave them.
        categories: The categories of columns, where a type has such.
        like: A frame of the library whose row names to take over, or None.
    """
    if library == "file":
        library = "pandas" if importlib.util.find_spec("pandas") else "pyarrow"
        dtypes = {}
    if library == "pyarrow" or importlib.util.find_spec(library) is None:
        return table
    module: Any = importlib.import_module(library)
    frame: Any = nw.from_arrow(table, backend=module)
    if library == "polars":
        casts = {n: _polars(t) for n, t in dtypes.items()}
        columns = [nw.col(n).cast(t) for n, t in casts.items() if t is not None]
        return frame.with_columns(*columns).to_native() if columns else frame.to_native()
    found = frame.to_native()
    for name, dtype in dtypes.items():
        column = found[name]
        if dtype == "category":
            ordered = bool(getattr(type_of(str(table[name].type)), "ordered", False))
            column = column.astype("category")
            known = list(categories[name]) or column.cat.categories
            found[name] = column.cat.set_categories(known, ordered=ordered)
        elif dtype.endswith(ARROW):
            values = table[name].cast(type_of(dtype.removesuffix(ARROW)))
            found[name] = module.arrays.ArrowExtensionArray(values)
        elif str(column.dtype) != dtype and not (WHOLE.fullmatch(dtype) and column.isna().any()):
            found[name] = column.astype(dtype)
    if like is not None:
        own = {str(c): c for c in like.columns}  # which may be numbers
        found.columns = [own.get(c, c) for c in found.columns]
        found.index = like.index if len(like) == len(found) else found.index
    return found


def _polars(text: str) -> Any:
    """Returns the type that narwhals prints so; None if it is none of its own."""
    name, options = parse_call(text)
    kind = getattr(nw, name, None)
    if kind is None or name in ("Unknown", "Object", "Decimal"):
        return None
    return kind(**options) if options else kind()
