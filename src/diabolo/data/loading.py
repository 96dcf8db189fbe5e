"""From whatever a user has to splits, a schema and sentences about what was done.

Shapes: N data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import DataConfig
from ..errors import DiaboloError, unknown
from .conditions import codes, label_column
from .data import Data, Splits
from .dividing import divide
from .fetch import Store
from .fitting import condition_names, fit_schema
from .found import Array, Found, Rows, Values
from .hidden import hide
from .hub import from_dataset, is_dataset
from .infer import to_inside, to_outside
from .mapped import Mapped, megabytes, size_of
from .memory import as_values, from_frame
from .readers import open_path, options
from .schema import Schema
from .sets import SETS
from .table import is_frame, tabulate

__all__ = ["Loaded", "load", "read"]

CHOICES = ("key", "size", "color", "strict", "labels", "memory")  # not for every source


class Loaded(NamedTuple):
    """A source, read.

    Attributes:
        splits: Its parts.
        schema: How new data are read alike, and model values brought back.
        notes: Sentences for the user: what was inferred, skipped or left out.
    """

    splits: Splits
    schema: Schema
    notes: tuple[str, ...]


def load(
    source: Any,
    config: DataConfig | None = None,
    *,
    labels: Any = None,
    condition: Any = None,
    valid: Any = None,
    test: Any = None,
) -> Loaded:
    """Reads a source whole.

    Arguments:
        source: A named set, a file or folder, an array, a tensor, a data frame or a data set.
        config: How to read it.
        labels: A label for each row (N,), in place of the source's own.
        condition: What a conditional model reads: values (N,) or (N, m), or a mapping of names to
            values (N,); in place of `config.condition`.
        valid: Validation rows, as `source`, or a tuple of rows, labels and, if any, conditions;
            in place of a part of the training rows.
        test: Test rows, likewise.

    Raises:
        DiaboloError: If the source cannot be read, or holds what no model can learn from.
    """
    config = config or DataConfig()
    tensor = isinstance(source, Tensor)
    _refuse_idle(source, config)
    found = find(source, config, labels=labels, condition=condition)
    if config.labels == "labels" and found.train.labels is None:
        raise _no_labels(source, "labels")
    if config.memory == "mapped" and not isinstance(found.train.x, Mapped):
        raise DiaboloError(
            f"'{source}' cannot stay in its file: leave data.memory out, or save it as .npy or "
            "Parquet."
        )
    for name, extra in (("valid", valid), ("test", test)):
        if extra is not None:
            rows, y, c = (
                (*extra, None, None)[:3] if isinstance(extra, tuple) else (extra, None, None)
            )
            part = find(rows, config, labels=y, condition=c, features=found.columns).train
            found = replace(found, valid=part) if name == "valid" else replace(found, test=part)
    if config.labels == "none":
        found = _without_labels(found)
    if found.valid is not None and config.valid != DataConfig().valid:
        raise DiaboloError("These data have their own validation part: leave data.valid out.")
    rows, held = divide(len(found.train.x), config, apart=found.valid is not None)
    if found.train.frame is not None or found.types:
        found = tabulate(found, config, rows.numpy())
    else:
        _refuse_kinds_by_name(source, config)
    schema, notes = fit_schema(found, config, rows.numpy(), tensor=tensor)
    splits = hide(_splits(found, schema, rows, held), config)
    held_x = _at(found.train.x, held.numpy()) if schema.constants else None
    valid_x = held_x if found.valid is None else found.valid.x
    test_x = None if found.test is None else found.test.x
    for part, x in (("validation", valid_x), ("test", test_x)):
        moved = None if x is None else schema.moved(x)
        if moved:
            notes.append(f"Of the {part} data: {moved[0].lower()}{moved[1:]}")
    return Loaded(splits, schema, (*found.notes, *_kept(found), *notes))


def _refuse_kinds_by_name(source: Any, config: DataConfig) -> None:
    """Refuses options of tables for data that are none."""
    named = isinstance(config.kinds, Mapping)
    for name, given in (
        ("kinds by name", named),
        ("rare", config.rare is not None),
        ("unseen", config.unseen != "refuse"),
    ):
        if given:
            raise DiaboloError(
                f"data.{name} is for tables: a data frame, CSV, Parquet or Arrow. Leave it out"
                + (", or give the kind of each column in order." if named else ".")
            )


def _at(x: Values, rows: Array) -> Values:
    return x.take(rows) if isinstance(x, Mapped) else x[rows]


def _kept(found: Found) -> list[str]:
    """Returns a sentence if data stay in files."""
    sizes = [size_of(p.x) for p in found.parts if isinstance(p.x, Mapped)]
    if not sizes:
        return []
    return [
        f"{megabytes(sum(sizes))} of data stay in files and are read in chunks (data.memory=whole "
        "takes them into memory)."
    ]


def _refuse_idle(source: Any, config: DataConfig) -> None:
    """Refuses options that have no effect on such a source.

    Raises:
        DiaboloError: Naming the option.
    """
    known: tuple[str, ...] = ("labels", "condition") if is_frame(source) else ()
    known = ("memory",) if isinstance(source, np.memmap) else known
    known = ("labels", "condition", "size", "color", "memory") if is_dataset(source) else known
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if str(source) not in SETS.names():
            known = options(path) if path.exists() else CHOICES
        if "labels" not in known and config.labels == "labels":
            config = replace(config, labels=None)  # The source's own: classes of a folder, a set.
    plain = DataConfig()
    for name in CHOICES:
        value = getattr(config, name)
        if name not in known and value not in (getattr(plain, name), "none", "whole"):
            raise DiaboloError(
                f"data.{name}={value} has no effect on this source, which takes "
                f"{', '.join(known) or 'no such option'}: leave it out."
            )


def read(
    source: Any,
    schema: Schema,
    *,
    config: DataConfig | None = None,
    labels: Any = None,
    condition: Any = None,
) -> Data:
    """Reads new rows as `schema` says.

    Arguments:
        source: As for `load`; of a source with a test part, that part is read.
        schema: From the training data.
        config: How to read files (`key`, `labels`, `data_dir`), such as that of training; of its
            labels only those that the condition needs are looked for.
        labels: A label for each row; of a file, also the column or the key that holds them.
        condition: What a conditional model reads.

    Raises:
        DiaboloError: If the rows differ from those of training.
    """
    config = config or DataConfig()
    if not (isinstance(source, (str, Path)) or is_dataset(source)):
        return schema.data(source, labels=labels, condition=condition)
    if len(schema.event) == 3:
        config = replace(
            config,
            size=(schema.event[1], schema.event[2]),
            color="rgb" if schema.event[0] == 3 else "grey",
        )
    conditional = schema.label in [c.name for c in schema.conditions]
    asked = labels if isinstance(labels, str) else None
    if asked:
        _refuse_idle(source, DataConfig(labels=asked))
        config, labels = replace(config, labels=asked), None
    elif not conditional and config.labels != "none":
        config = replace(config, labels=None)
    names = tuple(c.name for c in schema.conditions if c.name != schema.label)
    if schema.columns and config.labels is None and schema.label != "labels":
        config = replace(config, labels=schema.label)
    config = replace(config, condition=None)
    found = find(
        source,
        config,
        labels=labels,
        features=schema.columns,
        aside=names if condition is None else (),
    )
    rows = schema.numbered(found.test or found.train)
    rows = replace(rows, x=_in_layout(rows.x, found, schema))
    if asked is not None and asked != "none" and rows.labels is None:
        raise _no_labels(source, asked)
    if not (asked or conditional) and labels is None and _foreign(rows.labels, schema):
        rows = replace(rows, labels=None)  # other classes are no mistake where none is needed
    if condition is None and rows.conditions:
        condition = dict[str, Any](rows.conditions)
        if conditional:
            condition[schema.label] = rows.labels
    moved = schema.moved(rows.x) if rows.x.shape[1:] == schema.shape else None
    if moved:
        raise DiaboloError(moved)
    return schema.read(rows, condition=condition)


def _no_labels(source: Any, asked: str) -> DiaboloError:
    what = "are no labels" if asked == "labels" else f"is no column '{asked}' of labels"
    return DiaboloError(f"There {what} in '{source}'.")


def _foreign(labels: Array | None, schema: Schema) -> bool:
    """Whether some of these labels are no classes of training."""
    if labels is None or not schema.classes:
        return False
    try:
        codes(labels, schema.classes, schema.label)
    except DiaboloError:
        return True
    return False


def _in_layout(x: Values, found: Found, schema: Schema) -> Values:
    """Brings images of a file to the layout of the training data."""
    layout = found.layout
    if layout is None or layout == schema.layout or "vector" in (layout, schema.layout):
        return x
    if isinstance(x, Mapped):
        return x.then(lambda values, rows: _turned(values, layout, schema))
    return _turned(x, layout, schema)


def _turned(x: Array, layout: str, schema: Schema) -> Array:
    return to_outside(to_inside(x, layout), schema.layout)  # type: ignore[arg-type]


def find(
    source: Any,
    config: DataConfig,
    *,
    labels: Any = None,
    condition: Any = None,
    features: tuple[str, ...] = (),
    aside: tuple[str, ...] = (),
) -> Found:
    """Returns what a source holds, in the user's layout.

    Arguments:
        source: As for `load`.
        config: How to read it.
        labels: Labels in place of the source's own.
        condition: Conditions in place of the source's own.
        features: The columns of a table to take as data; () for all that are nothing else.
        aside: Columns or keys to read as conditions where they are there.
    """
    names = aside or tuple(n for n in condition_names(config) if n != "labels")
    some = config.labelled != "all"
    if isinstance(source, (str, Path)):
        found = _from_name(str(source), config, features, names)
    elif is_dataset(source):
        found = from_dataset(source, config, columns=features, conditions=names)
    elif is_frame(source):
        label = None if config.labels == "none" else config.labels
        found = from_frame(
            source, columns=features, label=label, conditions=names, strict=not features
        )
    else:
        found = Found(Rows(as_values(source, config.memory)))
    if labels is not None:
        column = label_column(labels, "labels", len(found.train.x), some=some)
        found = replace(found, train=replace(found.train, labels=column), classes=())
    if condition is not None:
        columns = _condition_columns(condition, len(found.train.x), some)
        found = replace(found, train=replace(found.train, conditions=columns))

    def checked(rows: Rows) -> Rows:
        if rows.frame is None:
            as_values(rows.x, config.memory)
        count, labels = len(rows.x), rows.labels
        if labels is not None:
            labels = label_column(labels, found.label, count, some=some)
        beside = {k: label_column(v, k, count, some=some) for k, v in rows.conditions.items()}
        return replace(rows, labels=labels, conditions=beside)

    return found.each(checked)


def _from_name(
    text: str, config: DataConfig, features: tuple[str, ...], names: tuple[str, ...]
) -> Found:
    if text in SETS.names():
        return SETS.load(text)(Store(config.data_dir))
    path = Path(text).expanduser()
    if path.exists():
        return open_path(path, config, features, names)
    if path.suffix or len(path.parts) > 1 or text.startswith(("~", ".")):
        raise _no_path(path)
    error = str(unknown("data set", text, SETS.names()))
    raise DiaboloError(f"{error} There is no file or folder of that name either.")


def _no_path(path: Path) -> DiaboloError:
    parent = path.parent
    if not parent.is_dir():
        return DiaboloError(f"There is no file or folder '{path}': '{parent}' does not exist.")
    names = sorted(p.name for p in parent.iterdir())[:10_000]
    hint = str(unknown("file", path.name, names)).split(" Known: ")[0].partition(" Did you")
    return DiaboloError(f"There is no file or folder '{path}'.{hint[1]}{hint[2]}")


def _without_labels(found: Found) -> Found:
    return replace(found.each(lambda rows: replace(rows, labels=None)), classes=())


def _condition_columns(condition: Any, count: int, some: bool) -> dict[str, Array]:
    """Returns columns (N,) by name of what a user gives as the condition."""
    if isinstance(condition, Mapping):
        return {str(k): label_column(v, str(k), count, some=some) for k, v in condition.items()}
    if is_frame(condition):
        import narwhals as nw

        table = nw.from_native(condition, eager_only=True)
        return {n: label_column(table[n].to_numpy(), n, count, some=some) for n in table.columns}
    values = condition.detach().cpu().numpy() if isinstance(condition, Tensor) else condition
    array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] > 1:
        names = [f"condition {i + 1}" for i in range(array.shape[1])]
        return {n: label_column(array[:, i], n, count, some=some) for i, n in enumerate(names)}
    return {"condition": label_column(array, "condition", count, some=some)}


def _read(rows: Rows, schema: Schema, index: Tensor) -> Data:
    """Reads a part with the conditions that the schema wants."""
    condition = None
    if schema.conditions:
        condition = {c.name: rows.conditions.get(c.name, rows.labels) for c in schema.conditions}
        lacking = [n for n, v in condition.items() if v is None]
        if lacking:
            raise DiaboloError(f"The condition '{lacking[0]}' is lacking in a part of the data.")
    return schema.read(rows, condition=condition, index=index)


def _splits(found: Found, schema: Schema, rows: Tensor, held: Tensor) -> Splits:
    """Reads the parts; those that the source has are kept."""

    def whole(part: Rows) -> Data:
        return _read(part, schema, torch.arange(len(part.x)))

    train = whole(found.train)
    test = None if found.test is None else whole(found.test)
    valid = train.take(held) if found.valid is None else whole(found.valid)
    return Splits(train.take(rows), valid, test)
