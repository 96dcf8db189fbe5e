"""What a conditional model reads beside x: labels as one-hots, numbers standardised.

Strings, truth values and integers of at most 50 different values are labels; all other numbers
are continuous.

Shapes: N data, C width of the condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DiaboloError, unknown
from .found import Array

__all__ = [
    "Condition",
    "class_names",
    "codes",
    "encode",
    "fit_condition",
    "label_column",
    "missing",
]

MOST = 50


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One column that a conditional model reads.

    Arguments:
        name: What it is called.
        classes: The names of its values, for labels; empty for numbers.
        mean: The training mean, for numbers.
        scale: The training standard deviation, for numbers.
    """

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many elements of the condition it takes."""
        return len(self.classes) or 1

    def encode(self, values: Array) -> Tensor:
        """Returns (N, width) for values (N,); zeros for a label that is missing."""
        if self.classes:
            found = codes(values, self.classes, self.name)
            return (found[:, None] == torch.arange(self.width)).float()
        numbers = _numbers(values, self.name)
        return torch.as_tensor((numbers - self.mean) / self.scale, dtype=torch.float32)[:, None]


def _numbers(values: Array, name: str) -> Array:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DiaboloError(f"The condition '{name}' is a number, but got '{values[0]}'.") from None
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.nonzero()[0][0])
        raise DiaboloError(
            f"The condition '{name}' is {numbers[row]} in row {row}: remove the row or fill it in."
        )
    return numbers


def missing(column: Array) -> Array:
    """Returns which values (N,) are missing: NaN, None, or pandas' NA."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype.kind == "O":
        return np.array([v is None or _unlike(v) for v in column], dtype=bool)
    return np.zeros(len(column), bool)


def _unlike(value: Any) -> bool:
    """Whether a value is not known to equal itself."""
    try:
        return bool(value != value)
    except TypeError:  # of pandas' NA, of which nothing is known
        return True


def label_column(values: Any, name: str, count: int | None, *, some: bool = False) -> Array:
    """Returns labels as an array (N,), one for each row.

    Arguments:
        values: The labels.
        name: What they are called.
        count: How many there are to be; None for any number.
        some: Whether they may be missing: NaN, None or, as in a table's empty cell, empty text.

    Raises:
        DiaboloError: If there are not `count` of them, or one is missing.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    hidden = np.ma.getmaskarray(values) if np.ma.is_masked(values) else None
    column = np.asarray(values)
    if hidden is not None:
        column = column.astype(object)
        column[hidden] = None
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DiaboloError(
            f"Expected one value of '{name}' a row, (N,), but got the shape {column.shape}."
        )
    if count is not None and len(column) != count:
        raise DiaboloError(
            f"Expected {count} values of '{name}', one a row, but got {len(column)}."
        )
    if column.dtype.kind in "UO" and any(isinstance(v, str) and not v for v in column):
        column = np.array([None if v == "" else v for v in column.tolist()], dtype=object)
    gone = missing(column)
    if gone.any() and not some:
        row = int(gone.nonzero()[0][0])
        raise DiaboloError(
            f"'{name}' has no value in row {row}, and {int(gone.sum())} in all are missing: "
            "remove those rows or fill them in. A recipe that learns from data without labels "
            "(m2) takes them with data.labelled='some'."
        )
    if gone.any() and column.dtype.kind == "O":
        column = column.copy()
        column[gone] = None
        there = np.array(column[~gone].tolist())
        if there.dtype.kind in "iuf":  # numbers among None
            column = np.full(len(column), np.nan)
            column[~gone] = there
    return column


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value.decode() if isinstance(value, bytes) else value)


def class_names(columns: Sequence[Array], most: int | None = None) -> tuple[str, ...]:
    """Returns the names of all labels, sorted; () if they are numbers that are no labels.

    Those that are missing have none.

    Arguments:
        columns: Labels (N,) of each part.
        most: Integers of more different values than this are no labels.
    """
    columns = [c[~missing(c)] for c in columns]
    seen: set[Any] = set()
    numeric = all(c.dtype.kind in "iuf" for c in columns)
    for c in columns:
        if c.dtype.kind == "f" and not (c == np.rint(c)).all():
            return ()
        seen.update(np.unique(c).tolist() if c.dtype.kind != "O" else c.tolist())
    if numeric:
        return () if most is not None and len(seen) > most else tuple(map(_text, sorted(seen)))
    return tuple(sorted({_text(v) for v in seen}))


def codes(values: Array, classes: tuple[str, ...], name: str = "labels") -> Tensor:
    """Returns the code of each label (N,), int64: by its name, else by its code; missing, -1.

    Raises:
        DiaboloError: At a label that is none of the classes.
    """
    place = {c: i for i, c in enumerate(classes)}
    by_code = not any(c.lstrip("-").isdigit() for c in classes)
    values = np.asarray(values)
    there = ~missing(values)
    distinct, where = np.unique(values[there], return_inverse=True)
    found = []
    for value in distinct:
        text = _text(value)
        if text not in place and by_code and text.isdigit() and int(text) < len(classes):
            found.append(int(text))
        elif text not in place:
            raise unknown(f"value of '{name}'", text, classes)
        else:
            found.append(place[text])
    out = np.full(len(values), -1, np.int64)
    out[there] = np.asarray(found, dtype=np.int64)[where.reshape(-1)]
    return torch.from_numpy(out)


def fit_condition(
    name: str,
    columns: Sequence[Array],
    classes: tuple[str, ...] = (),
    rows: Array | slice = slice(None),
) -> Condition:
    """Returns how to read a column, from its values in the training part and the other parts.

    Arguments:
        name: What it is called.
        columns: Its values (N,): of the training part, then of the others.
        classes: The names of its values where they are known.
        rows: Which of the training part give the mean and scale of numbers.
    """
    names = classes or class_names(columns, MOST)
    if names:
        return Condition(name=name, classes=names)
    train = _numbers(columns[0], name)[rows]
    scale = float(train.std())
    return Condition(name=name, mean=float(train.mean()), scale=scale if scale > 0 else 1.0)


def encode(conditions: tuple[Condition, ...], values: Any, *, some: bool = False) -> Tensor:
    """Returns conditions (n, C), floats, from what a user writes.

    Arguments:
        conditions: The columns.
        values: One value or a sequence of values for a single column; for several, a mapping of
            their names to values, or rows (n, columns), or one row.
        some: Whether labels may be missing.

    Raises:
        DiaboloError: If values do not fit the columns.
    """
    if not conditions:
        raise DiaboloError("These data have no condition, but one was given.")
    columns = _columns(tuple(c.name for c in conditions), values)
    parts = [
        c.encode(label_column(v, c.name, None, some=some))
        for c, v in zip(conditions, columns, strict=True)
    ]
    counts = {len(p) for p in parts}
    if len(counts) > 1:
        raise DiaboloError(
            f"Expected as many values of each condition, but got {sorted(counts)} of them."
        )
    return torch.cat(parts, dim=1)


def _columns(names: tuple[str, ...], values: Any) -> list[Any]:
    if isinstance(values, Mapping):
        for name in values:
            if name not in names:
                raise unknown("condition", str(name), names)
        lacking = [n for n in names if n not in values]
        if lacking:
            raise DiaboloError(f"The condition '{lacking[0]}' is lacking; give {', '.join(names)}.")
        return [_listed(values[n]) for n in names]
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if len(names) == 1:
        return [_listed(values)]
    rows = values if isinstance(values, np.ndarray) else _rows(values)
    if rows.ndim == 1 and len(rows) == len(names):
        rows = rows[None]
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise DiaboloError(
            f"Expected {len(names)} values a row ({', '.join(names)}), but got the shape "
            f"{rows.shape}."
        )
    return list(rows.T)


def _rows(values: Any) -> Array:
    rows = [list(v) if isinstance(v, (list, tuple, np.ndarray)) else v for v in values]
    return np.array(rows, dtype=object)


def _listed(values: Any) -> Any:
    scalar = isinstance(values, (str, bytes)) or np.ndim(values) == 0
    return [values] if scalar else values
