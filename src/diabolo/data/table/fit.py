"""From the columns of a table to what they are, with sentences on all that was decided.

What a column is (its kind, its levels) must hold for every row, so that all parts are looked at;
which levels are rare follows from the training rows alone.

Shapes: n rows, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ...config import DataConfig
from ...errors import DiaboloError, unknown
from ..found import Found, Rows
from ..mapped import Array, Mapped
from .column import DAY, Column, Level
from .frame import named
from .kinds import (
    UNIQUE,
    Said,
    number_kind,
    read_kind,
    refuse_mixture,
    refuse_type,
    text_role,
)
from .notes import notes
from .source import Source, counts_of, plain_column, sources_of
from .steps import step_of, step_of_times
from .table import Table
from .types import as_numbers, as_times, is_date, is_text, pc

__all__ = ["tabulate"]

MOST = 100  # levels of a category; what is rarer is pooled
RARE = 10  # rows, or one in a hundred where that is fewer, below which a level is rare
NUMBERS = ("real", "positive", "unit", "count")  # the kinds whose numbers are values
PIXELS = 50  # columns of whole numbers from which a table is read as one array


def tabulate(found: Found, config: DataConfig, rows: Array) -> Found:
    """Returns a table's rows as numbers, with what its columns are.

    Arguments:
        found: What was read: frames, or numbers in files with the types of their columns.
        config: How to read it: `kinds`, `support`, `rare`, `unseen`.
        rows: The positions of the training rows that are fitted, not held out.

    Raises:
        DiaboloError: If a kind does not fit its column, or no column is left.
    """
    said = _said(config, found)
    whole = config.support not in (None, "mixed") or (
        isinstance(config.kinds, tuple) and config.kinds
    )
    if whole:
        columns = [plain_column(found, name) for name in found.columns]
        if config.support in NUMBERS:
            columns = [
                _stepped(s, s.base) if s.numbers else s.base for s in sources_of(found, rows)
            ]
        return _read(found, Table(columns=tuple(columns), library=_library(found), mixed=False))
    sources = sources_of(found, rows)
    kept: list[Column] = []
    left: list[tuple[str, str]] = []
    for source in sources:
        column = _fit(source, said.get(source.name), config)
        if isinstance(column, Column):
            kept.append(_stepped(source, column))
        else:
            left.append((source.name, column))
    if not kept:
        raise DiaboloError(
            f"No column is left to learn from: {named(left)} are no data by themselves."
        )
    alike = not said and config.support is None and _alike(sources, kept)
    table = Table(
        columns=tuple(
            replace(plain_column(found, c.name), step=c.step, categories=c.categories)
            if alike
            else c
            for c in kept
        ),
        library=_library(found),
        mixed=not alike,
        unseen=config.unseen,
        left_out=tuple(left),
    )
    out = _read(found, table)
    return replace(out, notes=(*out.notes, *notes(found, table, out.train.x, said)))


def _said(config: DataConfig, found: Found) -> dict[str, Said]:
    """Returns what the user says of columns by name."""
    if not isinstance(config.kinds, Mapping):
        return {}
    for name in config.kinds:
        if name not in found.columns:
            raise unknown("column in data.kinds", name, found.columns)
    return {name: read_kind(kind, name) for name, kind in config.kinds.items()}


def _library(found: Found) -> str:
    return "file" if found.train.frame is None else found.train.frame.library


def _read(found: Found, table: Table) -> Found:
    """Returns the same with the rows as numbers."""

    def change(rows: Rows) -> Rows:
        if rows.frame is not None:
            return replace(rows, x=table.encode(rows.frame), frame=None)
        at = [found.columns.index(n) for n in table.names]

        def numbers(block: Array) -> Array:
            return table.numbers(block[:, at] if table.names != found.columns else block)

        x = rows.x
        changed = x.then(lambda block, _: numbers(block)) if isinstance(x, Mapped) else numbers(x)
        return replace(rows, x=changed)

    support, kinds = ("mixed", table.kinds) if table.mixed else (found.support, ())
    out = found.each(change)
    return replace(out, columns=table.names, support=support, kinds=kinds, table=table)


def _fit(source: Source, said: Said | None, config: DataConfig) -> Column | str:
    """Returns what a column is, or why it is left out.

    Raises:
        DiaboloError: If the user says a kind that it cannot have.
    """
    if said is None:
        return _guess(source, config)
    if said.kind == "skip":
        return "skipped"
    if not source.seen:
        raise DiaboloError(
            f"Column '{source.name}' has no value, so that it cannot be '{said.kind}'."
        )
    refuse_type(source.name, source.plain, said)
    column = _as_said(source, said, config)
    if source.constant:
        raise DiaboloError(
            f"Column '{source.name}' is constant, so that there is nothing to learn of it: leave "
            "it out of data.kinds."
        )
    return column


def _guess(source: Source, config: DataConfig) -> Column | str:
    """Returns what a column looks like."""
    numbers = source.numbers
    if not source.seen:
        return source.base
    if numbers is not None and numbers.counts_rows:
        return "running number"
    if numbers is not None and source.categorical:
        return _category(source, config)
    if numbers is not None and numbers.names_rows(pa.types.is_integer(source.plain)):
        return "identifier"
    if numbers is not None:
        kind = "real" if numbers.low >= numbers.high else number_kind(numbers)
        return source.column(kind, levels=_range(source) if kind == "ordinal" else ())
    kind = source.plain
    if is_date(kind):
        return _date(source)
    if not is_text(kind):
        return f"of type {kind}"
    if not source.categorical:
        texts = pa.concat_arrays([p.cast(pa.large_string()) for p in source.parts])
        refuse_mixture(source.name, texts, source.seen)
    levels, counts = counts_of(source.parts)
    role = text_role(pa.array(levels, pa.large_string()), counts)
    if role != "category":
        return role
    if source.ordered:
        return _ordered(source)
    return _category(source, config)


def _as_said(source: Source, said: Said, config: DataConfig) -> Column:
    """Returns a column of the kind that the user says."""
    name, numbers = source.name, source.numbers
    if said.kind == "date":
        return _date(source)
    if said.count is not None:
        return source.column(said.kind, levels=tuple(range(said.count)))
    if said.kind == "category":
        counts = counts_of(source.parts)[1] if source.parts else ()
        if len(counts) == sum(counts) >= UNIQUE:
            raise DiaboloError(
                f"Column '{name}' has another value in each row, so that it is no category: leave "
                "it out."
            )
        return _category(source, config)
    if said.kind != "ordinal":
        for part in source.parts if numbers is None else ():
            as_numbers(pa.chunked_array([part]), name)
        return source.column(said.kind)
    if said.levels:
        levels: tuple[Level, ...] = said.levels
        return source.column(
            "ordinal", levels=levels if numbers is None else tuple(map(_number, said.levels))
        )
    if numbers is not None:
        return source.column("ordinal", levels=_range(source))
    if source.ordered:
        return _ordered(source)
    few = "<".join(map(str, counts_of(source.parts)[0][:4]))
    raise DiaboloError(
        f"Column '{name}' is text, whose order is not known: say it from the lowest to the "
        f"highest, as in kinds={{'{name}': 'ordinal:{few}'}}."
    )


def _number(text: str) -> Level:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value


def _range(source: Source) -> tuple[Level, ...]:
    """Returns the levels of an ordinal of numbers: all whole ones between, if they are few."""
    numbers = source.numbers
    assert numbers is not None
    if numbers.few is None:
        found = pc.unique(pa.chunked_array(source.parts).drop_null()).to_pylist()
        if len(found) > 1000 or not source.parts:
            raise DiaboloError(
                f"Column '{source.name}' has {len(found)} values, too many for an ordinal: say "
                f"'real' or 'count' of it."
            )
        return tuple(sorted(found))
    few = numbers.few.tolist()
    if numbers.whole:
        span = range(int(numbers.low), int(numbers.high) + 1)
        return tuple(span) if len(span) <= 2 * len(few) else tuple(int(v) for v in few)
    return tuple(few)


def _ordered(source: Source) -> Column:
    """Returns an ordinal whose order is that of its categories."""
    there = set(counts_of(source.parts)[0])
    return source.column("ordinal", levels=tuple(v for v in source.base.categories if v in there))


def _category(source: Source, config: DataConfig) -> Column:
    """Returns a category, its rare levels pooled."""
    if not source.parts:
        numbers = source.numbers
        if numbers is None or numbers.few is None:
            raise DiaboloError(
                f"Column '{source.name}' has too many values for a category of a table that "
                "stays in its file: say data.memory=whole."
            )
        return source.column("category", levels=_range(source))
    every = counts_of(source.parts)[0]
    train = source.parts[0].take(pa.array(source.rows))
    count = dict(zip(*counts_of((train,)), strict=True))
    least = min(RARE, 0.01 * len(train)) if config.rare is None else config.rare
    often = sorted(every, key=lambda v: -count.get(v, 0))
    kept = {v for v in often[:MOST] if count.get(v, 0) >= least}
    rare = tuple(v for v in every if v not in kept)
    if not kept or not rare or (least <= 1 and len(every) <= MOST):
        return source.column("category", levels=every)
    weights = tuple(max(1, count.get(v, 0)) for v in rare)
    levels = tuple(v for v in every if v in kept)
    return source.column("category", levels=levels, pooled=rare, weights=weights)


def _date(source: Source) -> Column:
    """Returns a column of dates, counted from the first."""
    times = [as_times(pa.chunked_array([p]), source.name) for p in source.parts]
    seen = np.concatenate(times)
    seen = seen[~np.isnan(seen)]
    daily = bool(((seen - seen.min()) % DAY == 0).all())
    step = step_of_times(seen)
    return source.column("date", origin=int(seen.min()), daily=daily, step=step)


def _stepped(source: Source, column: Column) -> Column:
    """Returns a column of numbers with the step of its values."""
    if column.kind not in NUMBERS or not source.seen:
        return column
    if source.numbers is not None:
        return replace(column, step=step_of(source.numbers.sample))
    parts = [as_numbers(pa.chunked_array([p]), source.name) for p in source.parts]
    return replace(column, step=step_of(np.concatenate(parts)))


def _alike(sources: list[Source], kept: list[Column]) -> bool:
    """Whether all columns hold numbers of one support, so that they are one array."""
    kinds = {c.name: c.kind for c in kept}
    some = [s for s in sources if s.name in kinds and s.seen]
    numbers = [s.numbers for s in some if s.numbers is not None and not s.categorical]
    if len(numbers) < len(some):
        return False
    varying = {kinds[s.name] for s in some if not s.constant}
    if varying <= {"real"} or varying == {"boolean"}:
        return True
    if all(n.low >= 0 and n.high <= 1 and not n.whole for n in numbers):
        return True
    return len(numbers) >= PIXELS and all(n.whole and n.low >= 0 for n in numbers)
