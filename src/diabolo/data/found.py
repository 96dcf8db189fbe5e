"""What a reader hands over: arrays in the user's own layout, before anything is inferred.

Shapes: N data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .mapped import Array, Values

if TYPE_CHECKING:
    from .table import Frame, Table

__all__ = ["Array", "Found", "Rows", "Values"]


@dataclass(frozen=True, eq=False)
class Rows:
    """One part of what was read.

    Arguments:
        x: The data (N, *) in the user's layout, in memory or in files; of a table whose columns
            are no numbers yet (N, 0).
        labels: A label for each row (N,), of any type; None without.
        conditions: Columns (N,) that a conditional model reads, by name.
        names: Where each row is from, (N,), such as an image's file; None without.
        frame: The columns of a table that are no numbers yet; None once they are.
    """

    x: Values
    labels: Array | None = None
    conditions: Mapping[str, Array] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    frame: Frame | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """All parts of a source, and what the reader knows of it.

    Arguments:
        train: The rows for fitting, and for validation if `valid` is None.
        valid: The source's own validation rows.
        test: The source's own test rows.
        columns: The names of the features of a table.
        classes: The names of label codes 0, 1, ...; empty takes them from the labels.
        layout: The layout of x where the reader knows it; else it is inferred.
        support: What a value is, where the reader knows it, such as `byte:17`.
        label: What the labels are called in the source.
        notes: Sentences for the user.
        types: Arrow's types of the features of a table whose numbers stay in files.
        kinds: Of a table, the support of each column, as in a `Spec`.
        table: How a table's columns became numbers.
    """

    train: Rows
    valid: Rows | None = None
    test: Rows | None = None
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    layout: str | None = None
    support: str | None = None
    label: str = "labels"
    notes: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    table: Table | None = None

    @property
    def parts(self) -> list[Rows]:
        """The parts that there are."""
        return [p for p in (self.train, self.valid, self.test) if p is not None]

    def each(self, change: Callable[[Rows], Rows]) -> Found:
        """Returns the same with each part changed."""
        valid, test = (p if p is None else change(p) for p in (self.valid, self.test))
        return replace(self, train=change(self.train), valid=valid, test=test)
