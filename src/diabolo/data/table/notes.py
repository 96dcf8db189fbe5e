"""Sentences on what a table's columns were taken for, and on what is odd in them.

Shapes: n rows, D features.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..found import Found
from ..mapped import Array, Values, pieces
from .column import Column
from .frame import named
from .table import Table
from .types import is_text, mostly, pc, plain

__all__ = ["left_out_note", "notes"]

FINE = 1000  # steps of float32 across the values of a column that are fine enough


def notes(found: Found, table: Table, x: Values, said: Collection[str]) -> list[str]:
    """Returns what to tell of a table.

    Arguments:
        found: What was read.
        table: What its columns are.
        x: The training rows as numbers, (n, D).
        said: The columns whose kind the user says.
    """
    out = []
    look = _Look.at(x)
    if table.mixed:
        varying = [c for c, v in zip(table.columns, look.varies, strict=True) if v]
        out += [_kinds(varying)] if varying else []
    if table.left_out:
        out.append(left_out_note(table.left_out))
    out += _dates(found, table, said)
    out += _pooled(table.columns)
    out += _missing(table, look)
    out += _coarse(table, look)
    return out + _copies(found, table)


def left_out_note(left: Sequence[tuple[str, str]]) -> str:
    """Returns a sentence on columns that are no data, and why."""
    many, are = ("Columns", "are") if len(left) > 1 else ("Column", "is")
    return (
        f"{many} {named(left)} {are} left out of the model and of what it writes; data.kinds says "
        "otherwise."
    )


def _kinds(columns: Sequence[Column]) -> str:
    kinds = dict.fromkeys(c.kind for c in columns)
    each = [f"{named(c.name for c in columns if c.kind == k)} as {k}" for k in kinds]
    other = next((c for c in columns if c.kind in ("count", "ordinal", "positive")), None)
    name, kind = (columns[0].name, "skip") if other is None else (other.name, "real")
    return (
        f"A table, whose columns are read by kind: {'; '.join(each)}. To say otherwise, name them, "
        f"as in kinds={{{name!r}: '{kind}'}}."
    )


def _dates(found: Found, table: Table, said: Collection[str]) -> list[str]:
    """Returns a sentence on columns of text that is dates, of which nobody said what they are."""
    frame = found.train.frame
    if frame is None:
        return []
    left = [name for name, why in table.left_out if why in ("identifier", "free text")]
    names = [*(c.name for c in table.columns if c.kind == "category"), *left]
    texts = {n: plain(frame.columns[n]) for n in names if is_text(frame.columns[n].type)}
    told = [name for name, values in texts.items() if name not in said and _are_dates(values)]
    if not told:
        return []
    many, hold = ("Columns", "hold") if len(told) > 1 else ("Column", "holds")
    return [
        f"{many} {named(told)} {hold} dates as text: kinds={{{told[0]!r}: 'date'}} reads them so."
    ]


def _are_dates(texts: pa.Array) -> bool:
    """Whether all texts are dates; a look at the first ten spares most columns the rest."""
    seen = texts.drop_null()
    for part in (seen.slice(0, 10), seen):
        what, known = mostly(part)
        if what != "dates" or not pc.all(known).as_py():
            return False
    return True


def _pooled(columns: Sequence[Column]) -> list[str]:
    rare = [c for c in columns if c.pooled]
    if not rare:
        return []
    each = [(c.name, f"{len(c.pooled)} of {len(c.levels) + len(c.pooled)}") for c in rare]
    return [
        f"Rare levels of {named(each)} share one code each, as will new ones: data.rare=0 keeps "
        "them apart."
    ]


class _Look(NamedTuple):
    """What a look at all rows finds.

    Attributes:
        missing: How many values each column lacks, (D,).
        low: The least value of each column, (D,); inf where there is none.
        high: The greatest, (D,).
        rows: How many rows there are.
        empty: How many of them have no value at all.
    """

    missing: Array
    low: Array
    high: Array
    rows: int
    empty: int

    @property
    def varies(self) -> Array:
        """Whether a column has more than one value, (D,)."""
        return self.low < self.high

    @classmethod
    def at(cls, x: Values) -> _Look:
        """Returns what is seen of rows (n, D)."""
        missing, rows, empty = np.zeros(x.shape[1], np.int64), 0, 0
        low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
        for _, block in pieces(x):
            gone = np.isnan(block) if block.dtype.kind == "f" else np.zeros(block.shape, bool)
            missing += gone.sum(0)
            empty += int(gone.all(1).sum())
            rows += len(block)
            low = np.minimum(low, np.where(gone, np.inf, block).min(0))
            high = np.maximum(high, np.where(gone, -np.inf, block).max(0))
        return cls(missing, low, high, rows, empty)


def _coarse(table: Table, look: _Look) -> list[str]:
    """Returns a sentence on columns that lie so far from 0 that 32 bits hardly tell them apart."""
    far = np.maximum(np.abs(look.low), np.abs(look.high))
    far = np.where(look.varies & np.isfinite(far), far, 0).astype(np.float32)
    told = np.where(look.varies, look.high - look.low, 0) / np.spacing(far)
    few = [(table.names[i], f"{told[i]:.3g}") for i in np.flatnonzero(look.varies & (told < FINE))]
    if not few:
        return []
    many, lie = ("Columns", "lie") if len(few) > 1 else ("Column", "lies")
    return [
        f"{many} {named(few)} {lie} so far from 0 that models, whose numbers have 32 bits, tell no "
        "more than so many steps of it apart: subtract its least value before."
    ]


def _missing(table: Table, look: _Look) -> list[str]:
    count, rows, empty = look.missing, look.rows, look.empty
    out = []
    some = [i for i in np.argsort(-count, kind="stable") if 0 < count[i] < rows]
    if some:
        total = int(count[some].sum())
        each = [(table.names[i], f"{100 * count[i] / rows:.2g} %") for i in some]
        values = "value is" if total == 1 else "values are"
        out.append(
            f"{total:,} {values} missing, in {named(each)}: taken as not seen, and never filled "
            "in. data.missing=refuse refuses them."
        )
    if empty:
        have, they = ("row has", "it") if empty == 1 else ("rows have", "them")
        out.append(f"{empty:,} {have} no value at all, so that nothing is learned from {they}.")
    return out


def _copies(found: Found, table: Table) -> list[str]:
    """Returns a sentence on columns each of whose values goes with one label, and back."""
    frame, labels = found.train.frame, found.train.labels
    if frame is None or labels is None:
        return []
    codes, distinct = _codes(pa.array(labels, from_pandas=True))
    if distinct == 1:
        return [f"All labels ('{found.label}') are the same."]
    copies = []
    for name in table.names if distinct <= len(labels) // 2 else ():
        other, count = _codes(plain(frame.columns[name]))
        if count == distinct and len(np.unique(codes * distinct + other)) == distinct:
            copies.append(name)
    if not copies:
        return []
    many = "Columns" if len(copies) > 1 else "Column"
    tell = "tell" if len(copies) > 1 else "tells"
    return [
        f"{many} {named(copies)} {tell} the label '{found.label}': each value goes with one label. "
        "Leave it out, kinds={'" + copies[0] + "': 'skip'}, if the label is to be found out."
    ]


def _codes(values: pa.Array) -> tuple[Array, int]:
    """Returns a code (n,) for each value, missing ones too, and how many there are."""
    coded = pc.dictionary_encode(values, null_encoding="encode")
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(coded.dictionary)
