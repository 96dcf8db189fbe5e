"""Labels that a user gives for the rows of a table or for images, as classes.

Shapes: n rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from ..data.conditions import class_names, label_column, missing
from ..data.values import element_name
from ..errors import DiaboloError

__all__ = ["Classes", "classes_of", "copies_of", "refuse_names", "telling"]


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of rows.

    Arguments:
        values: The user's own values, one of each class, (C,).
        names: What they are called.
        codes: The class of each row, 0 .. C - 1, (n,).
    """

    values: NDArray[Any]
    names: tuple[str, ...]
    codes: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many rows each class has, (C,)."""
        return np.bincount(self.codes, minlength=len(self.names))

    def take(self, rows: NDArray[Any]) -> Classes:
        """Returns the classes of some rows; one that none of them has stays."""
        return Classes(self.values, self.names, self.codes[rows])


def classes_of(y: Any, count: int | None = None, *, what: str = "labels") -> Classes:
    """Returns the classes of labels, two of them or more.

    Arguments:
        y: A label for each row: names, whole numbers or truth values.
        count: How many rows there are; None for any number.
        what: What the labels are called.

    Raises:
        DiaboloError: If their number is another, one is missing, they are numbers that are no
            classes, or all are the same.
    """
    native = nw.from_native(y, pass_through=True, allow_series=True)
    column = label_column(native.to_numpy() if native is not y else y, what, count, some=True)
    gone = missing(column)
    if gone.any():
        raise DiaboloError(
            f"'{what}' has no value in row {int(gone.nonzero()[0][0])}, and {int(gone.sum())} in "
            "all are missing: remove those rows or fill them in."
        )
    if not len(column):
        raise DiaboloError(f"Expected '{what}' of one row at least, but got none.")
    if column.dtype.kind == "f" and not (column == np.rint(column)).all():
        bad = column[column != np.rint(column)]
        raise DiaboloError(
            f"'{what}' name classes, but these are numbers such as {bad[0]:g}: cut them into "
            "classes first, or name the right column."
        )
    if column.dtype.kind == "O":
        column = column.astype(str)
    values, codes = np.unique(column, return_inverse=True)
    names = tuple(class_names([np.array([v])])[0] for v in values)
    if len(values) == 1:
        raise DiaboloError(
            f"All {len(column)} rows have the same value of '{what}', {names[0]}: two classes at "
            "least are needed."
        )
    return Classes(values, names, codes.reshape(-1).astype(np.int64))


def refuse_names(classes: Classes, *, what: str = "labels") -> None:
    """Refuses labels that name rows instead of classes.

    Raises:
        DiaboloError: If each row has a label of its own.
    """
    if int(classes.counts.max()) == 1:
        raise DiaboloError(
            f"Each of the {len(classes.codes)} rows has a value of '{what}' of its own, such as "
            f"'{classes.names[0]}': that names rows and no classes, so that there is nothing to "
            "balance. Name a column whose values come again."
        )


def copies_of(classes: Classes, rows: Any) -> tuple[str, ...]:
    """Returns a sentence for each column of a table that tells the classes, one value for each.

    Arguments:
        classes: The classes of the rows.
        rows: A frame of narwhals' or an array; images have no such columns.
    """
    names: tuple[str, ...] = ()
    if isinstance(rows, nw.DataFrame):
        names = tuple(map(str, rows.columns))
        columns = [rows[name].to_numpy() for name in names]
    else:
        columns = list(rows.T) if rows.ndim == 2 else []
    told = []
    for i in telling(classes, columns):
        name = element_name(i, (len(columns),), names)
        told.append(
            f"{name[0].upper()}{name[1:]} is a copy of the labels: leave it out, unless it is "
            "known of rows whose class is not."
        )
    return tuple(told)


def telling(classes: Classes, columns: Sequence[NDArray[Any]]) -> list[int]:
    """Returns which columns (n,) have one value for each class, another for each.

    Arguments:
        classes: The classes of the rows, of which each has one at least.
        columns: The columns.
    """
    first = [int(np.argmax(classes.codes == c)) for c in range(len(classes.names))]
    found = []
    for i, column in enumerate(columns):
        values = column[first]
        alike = bool((column == values[classes.codes]).all())
        if alike and len(set(values.tolist())) == len(first):
            found.append(i)
    return found
