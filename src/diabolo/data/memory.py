"""Arrays, tensors, sparse matrices, lists and data frames that a user has in Python.

Shapes: N data.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DiaboloError, unknown
from .found import Array, Found, Rows, Values
from .mapped import Mapped, Memory, mapping
from .table import Frame, eager, is_frame, label_values, need_columns

__all__ = ["as_array", "as_values", "from_frame", "from_memory"]

INDEX = re.compile(r"|Unnamed: 0|__index_level_0__|column_0_index")  # names of a column of counts
INDEX_NOTE = "The first column counts the rows and was left out."


def as_values(value: Any, memory: Memory = "auto") -> Values:
    """Returns numbers, left in their file where they are memory-mapped and large.

    Raises:
        DiaboloError: If they are ragged, empty or no numbers.
    """
    if isinstance(value, Mapped):
        as_array(value.gather(np.arange(min(1, len(value)))))  # one row tells type and shape
        return value
    if isinstance(value, np.memmap) and mapping(memory, value.nbytes):
        return as_values(Mapped((np.asarray(value),)))
    return as_array(value)


def as_array(value: Any, what: str = "the data") -> Array:
    """Returns a numeric array, unchanged where it is one; masked entries become NaN.

    Raises:
        DiaboloError: If it is ragged, empty or holds no numbers.
    """
    if value is None or isinstance(value, Mapping):
        kinds = "an array, a tensor, a data frame, the name of a set or a file"
        if value is None:
            raise DiaboloError(f"Expected {what} as {kinds}, but got None.")
        raise DiaboloError(
            f"Expected {what} as {kinds}, but got a {type(value).__name__}: give one of its "
            "values, or make a data frame of them."
        )
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value if value.layout == torch.strided else value.to_dense()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    sparse = sys.modules.get("scipy.sparse")  # Loaded already where the value is of it.
    if sparse is not None and sparse.issparse(value):
        value = value.toarray()
    if np.ma.is_masked(value) and value.dtype.kind in "biufO":
        floats = value if value.dtype.kind in "fO" else value.astype(np.float64)
        value = floats.filled(np.nan)
    try:
        array = np.asarray(value)
    except ValueError:
        raise DiaboloError(
            f"Expected {what} as an array, but the rows have different shapes."
        ) from None
    if array.dtype.kind == "O":
        # Lists of Python numbers with None among them.
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise DiaboloError(
                f"Expected numbers, but {what} hold Python objects such as "
                f"{reprlib.repr(array.reshape(-1)[0])}."
            ) from None
    if array.dtype.kind not in "biuf":
        raise DiaboloError(f"Expected numbers, but {what} hold '{array.dtype}'.")
    if array.ndim == 0:
        raise DiaboloError(f"Expected rows of numbers, but {what} are the single value {array}.")
    if array.size == 0:
        raise DiaboloError(f"Expected at least one row, but {what} have the shape {array.shape}.")
    return array


def from_memory(
    x: Any,
    *,
    columns: tuple[str, ...] = (),
    label: str | None = None,
    conditions: tuple[str, ...] = (),
) -> Found:
    """Returns what is in an array or a data frame.

    Arguments:
        x: The data.
        columns: The features to take from a data frame; () for all that are nothing else.
        label: The column of labels, passed over where it is not there.
        conditions: The columns of conditions, likewise.
    """
    if not is_frame(x):
        return Found(Rows(as_values(x)), layout=None)
    return from_frame(x, columns=columns, label=label, conditions=conditions)


def from_frame(
    frame: Any,
    *,
    columns: tuple[str, ...] = (),
    label: str | None = None,
    conditions: tuple[str, ...] = (),
    strict: bool = False,
    library: str | None = None,
) -> Found:
    """Returns what is in a data frame; its columns are no numbers yet.

    Arguments:
        frame: The data frame.
        columns: The features to take; () for all columns that are nothing else.
        label: The column of labels.
        conditions: The columns of conditions.
        strict: Refuse a label or condition that is not there.
        library: What to say that it is a frame of; None finds out.

    Raises:
        DiaboloError: If a column is lacking, or has values of several types, naming it.
    """
    table = eager(frame)
    names = [str(c) for c in table.columns]
    need_columns(columns, names)
    for name in (*([label] if label else []), *conditions) if strict else ():
        if name not in names:
            raise unknown("column", name, names)
    beside = [n for n in dict.fromkeys((*([label] if label else []), *conditions)) if n in names]
    own = columns or tuple(n for n in names if n not in beside)
    found = Frame.of(table, (*own, *(n for n in beside if n not in own)), library=library)
    notes: list[str] = []
    if not columns and own and INDEX.fullmatch(own[0]):
        first = label_values(found.columns[own[0]])
        if np.array_equal(first, np.arange(len(first))):
            own = own[1:]
            notes.append(INDEX_NOTE)
    if not own or not len(found):
        raise DiaboloError(
            f"Expected rows and columns of data, but the table has {len(found)} rows and "
            f"{len(own)} columns of data."
        )
    extra: Mapping[str, Array] = {n: label_values(found.columns[n]) for n in beside}
    return Found(
        Rows(
            np.empty((len(found), 0), np.float32),
            extra.get(label) if label else None,
            {n: extra[n] for n in conditions if n in extra},
            frame=found.select(own),
        ),
        columns=own,
        layout="vector",
        label=label or "labels",
        notes=tuple(notes),
    )
