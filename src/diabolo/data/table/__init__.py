"""Tables whose columns have kinds, names and types: from frames to numbers, and back."""

from __future__ import annotations

from .column import Column
from .fit import tabulate
from .frame import Frame, eager, is_frame, label_values, named, native, need_columns, to_arrow
from .kinds import KINDS
from .notes import left_out_note
from .table import Table, numbers_of

__all__ = [
    "KINDS",
    "Column",
    "Frame",
    "Table",
    "eager",
    "is_frame",
    "label_values",
    "left_out_note",
    "named",
    "native",
    "need_columns",
    "numbers_of",
    "tabulate",
    "to_arrow",
]
