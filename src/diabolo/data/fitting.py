"""From what was found to a schema: what values, axes, labels and conditions mean.

Shapes: N data, D features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ..config import DataConfig
from ..errors import DiaboloError, unknown
from .conditions import Condition, class_names, fit_condition, missing
from .data import CONTINUOUS
from .found import Array, Found, Values
from .infer import (
    Layout,
    Meaning,
    infer_kinds,
    infer_layout,
    infer_support,
    parse_support,
    to_inside,
)
from .mapped import pieces
from .schema import Schema
from .values import as_float32, element_name, refuse_infinite

__all__ = ["condition_names", "fit_schema"]

# Ranges and sizes of a column whose differences and quotients float32 holds in full precision.
SMALLEST, LARGEST = 1e-33, 1e36
# A range that is a smaller part of the values than this has at most 170 steps in float32.
ROUGH = 1e-5


def condition_names(config: DataConfig) -> tuple[str, ...]:
    """Returns what `config.condition` names."""
    if config.condition is None:
        return ()
    return (config.condition,) if isinstance(config.condition, str) else config.condition


def fit_schema(
    found: Found, config: DataConfig, rows: Array, *, tensor: bool = False
) -> tuple[Schema, list[str]]:
    """Returns how to read these data, and sentences about what was inferred.

    What a value is (support, levels, the names of labels) must hold for every part, so that all
    are looked at; what is estimated (constants, means and scales) follows from `rows` alone.

    Arguments:
        found: What was read.
        config: How to read it.
        rows: The positions of the training rows that are fitted, not held out.
        tensor: Whether images without a clear order of axes have their channels first.

    Raises:
        DiaboloError: If options do not fit the data, or there is too little of them.
    """
    x = found.train.x
    shape = tuple(x.shape[1:])
    for part in found.parts:
        if part.x.shape[1:] != shape:
            raise DiaboloError(
                f"Expected all parts alike, but the training rows have the shape {shape} and "
                f"others {part.x.shape[1:]}."
            )
    for part in found.parts:
        if part.x.dtype.kind == "f":
            refuse_infinite(part.x, lambda i: element_name(i, shape, found.columns))
    if not _varies(x):
        raise DiaboloError("All values are the same, or missing: there is nothing to learn.")
    layout, guess = infer_layout(x.shape, tensor)
    if found.layout is not None:
        layout, guess = _layout(found.layout), None
    notes = [guess] if guess else []
    meaning = _meaning(found, config)
    notes += meaning.notes
    said = config.kinds if isinstance(config.kinds, tuple) else ()
    kinds = said or found.kinds
    if meaning.support == "mixed" and not kinds and layout == "vector":
        kinds = infer_kinds([p.x for p in found.parts])
    schema = Schema(
        shape=shape,
        layout=layout,
        dtype=str(x.dtype),
        event=tuple(to_inside(next(pieces(x))[1], layout).shape[1:]),
        support=meaning.support,
        levels=meaning.levels,
        kinds=kinds,
        source=meaning.support,
        grey=meaning.levels if meaning.units != "plain" else None,
        units=meaning.units,
        missing=_missing(found, config),
        seed=config.seed,
        columns=found.columns,
        label=found.label,
        table=found.table,
    )
    _refuse_kinds(schema)
    notes += _kinds_told(schema) if kinds not in (said, found.kinds) else []
    schema = _decoded(schema, config)
    schema, more = _constants(schema, found.train.x, rows)
    notes += more
    standardize = config.standardize
    scaled = schema.support in ("real", "mixed")
    if standardize and not scaled:
        raise DiaboloError(
            f"data.standardize is for real data, but these are '{schema.support}'. Leave it out."
        )
    schema = replace(schema, standardize=scaled if standardize is None else standardize)
    classes = _classes(found)
    schema = replace(schema, classes=classes)
    if config.labelled == "all":
        return replace(schema, conditions=_conditions(found, config, classes, rows)), notes
    labels = found.train.labels
    none = labels is not None and bool(missing(labels).all())
    conditions = () if none else _conditions(found, config, classes, rows)
    if len(conditions) != 1 or not conditions[0].classes:
        raise DiaboloError(
            f"data.labelled={config.labelled} is for one label that is the condition: give "
            "labels, not all of them missing, and condition='labels'; or leave it out."
        )
    return replace(schema, conditions=conditions, labelled="some"), notes


def _missing(found: Found, config: DataConfig) -> Literal["refuse", "nan", "auto"]:
    """Returns what NaN means, of a table or an array."""
    return "refuse" if config.missing == "auto" and found.table is None else config.missing


def _varies(x: Values) -> bool:
    """Whether not all seen values are the same."""
    low, high = _range(x)
    seen = low <= high
    return bool(seen.any()) and bool(low[seen].min() < high[seen].max())


def _layout(text: str) -> Layout:
    layouts: dict[str, Layout] = {"vector": "vector", "hw": "hw", "hwc": "hwc", "chw": "chw"}
    return layouts[text]


def _meaning(found: Found, config: DataConfig) -> Meaning:
    """Returns what the values are: as the user says, as the reader knows, or as it looks."""
    said = config.support or ("mixed" if config.kinds and not found.kinds else found.support)
    parts = [p.x for p in found.parts]
    if said is None:
        return infer_support(parts)
    support, levels = parse_support(said)
    x = found.train.x
    if support == "byte" and x.dtype.kind == "f":
        top = max(float(_range(p)[1].max()) for p in parts)
        return Meaning(support, levels, "grid" if top <= 1 else "levels")
    if support == "unit" and x.dtype == np.uint8:
        known = parse_support(found.support) if found.support else ("byte", None)
        top = (known[1] if known[0] == "byte" and known[1] else 256) - 1
        told = f"Grey levels j are read as the continuous values j / {top}."
        return Meaning(support, top + 1, "levels", (told,))
    return Meaning(support, levels, "levels" if support == "byte" else "plain")


def _decoded(schema: Schema, config: DataConfig) -> Schema:
    """Applies binarisation and dequantisation to what a model sees."""
    if schema.support == "unit":
        schema = replace(schema, levels=None)
    if config.binarize != "no" and config.dequantize:
        raise DiaboloError("data.binarize and data.dequantize exclude each other: choose one.")
    if config.binarize != "no":
        if schema.source not in ("byte", "unit"):
            raise DiaboloError(
                f"data.binarize needs grey values, but these data are '{schema.source}'. "
                "Leave it out, or say the support."
            )
        return replace(schema, support="binary", levels=None, binarize=config.binarize)
    if config.dequantize:
        if schema.grey is None or schema.source != "byte":
            raise DiaboloError(
                f"data.dequantize needs grey levels, but these data are '{schema.source}'. "
                "Leave it out, or say their levels, as in support='byte:17'."
            )
        return replace(schema, support="real", levels=None, dequantize=True)
    return schema


def _refuse_kinds(schema: Schema) -> None:
    """Refuses kinds of columns of data that are not mixed, or not one kind a column."""
    kinds = schema.kinds
    if schema.support != "mixed":
        if kinds:
            raise DiaboloError(
                f"data.kinds is for mixed data, but these are '{schema.support}': say "
                "support='mixed', or leave it out."
            )
        return
    if schema.layout != "vector" or schema.event != (len(kinds),):
        raise DiaboloError(
            f"Mixed data are a table with a kind for each column, but there are {len(kinds)} kinds "
            f"for data of shape {schema.shape}."
        )
    for i, kind in enumerate(kinds):
        if parse_support(kind)[0] in ("byte", "mixed"):
            raise DiaboloError(
                f"{schema.column(i).capitalize()} cannot be '{kind}' in mixed data: of ordered "
                "levels say 'ordinal', with their number."
            )


def _kinds_told(schema: Schema) -> list[str]:
    """Returns a sentence that says which columns were taken for what."""
    kinds = np.asarray(schema.kinds)
    each = [f"{_named(schema, np.nonzero(kinds == k)[0])} as {k}" for k in dict.fromkeys(kinds)]
    return [
        f"Mixed data. {'; '.join(each)}. Codes of classes are not told from counts: say them, and "
        "any other kind, in data.kinds=('real', 'category:4', ...)."
    ]


def _constants(schema: Schema, x: Values, rows: Array) -> tuple[Schema, list[str]]:
    """Leaves out columns of continuous tables that never vary: no density on them is bounded."""
    table = schema.table is not None and schema.table.mixed
    if schema.support == "mixed" and not table:
        _refuse_constants(schema, x, rows)
    if schema.layout != "vector" or not (schema.support in ("real", "unit", "positive") or table):
        return schema, []
    if schema.grey is not None:
        return schema, []
    # What does not vary in float32 does not vary for a model.
    for first, block in pieces(x):
        as_float32(block, schema.column, first)
    low, high = (r.astype(np.float64) for r in _range(x, rows, np.float32))
    still = np.nonzero(low >= high)[0]
    exact_low, exact_high = _range(x, rows)
    lost = np.nonzero((low >= high) & (exact_low < exact_high))[0]
    if len(still) == len(low):
        raise _nothing(x, len(rows), bool(len(lost)))
    size, reach = np.maximum(np.abs(low), np.abs(high)), high - low
    extreme = np.nonzero((low < high) & ((size > LARGEST) | (reach < SMALLEST)))[0]
    if schema.support == "real" and len(extreme):
        i = int(extreme[0])
        raise DiaboloError(
            f"{schema.column(i).capitalize()} has values from {low[i]:g} to {high[i]:g}, which "
            "float32 cannot standardise: rescale it."
        )
    notes = []
    # Only what float32 rounds is lost: whole numbers of any size up to 2^24 are not.
    rough = np.nonzero((low < high) & (reach < ROUGH * size))[0]
    rough = rough[_rounded(x, rows, rough)] if len(rough) else rough
    if len(rough):
        few = "has a range that is" if len(rough) == 1 else "have ranges that are"
        notes.append(
            f"{_named(schema, rough)} {few} small beside the values, and float32 rounds them to "
            "few steps: subtract an offset."
        )
    if not len(still):
        return schema, notes
    constants = tuple((int(i), _only(x, rows, int(i))) for i in still)
    left_out = "left out of the model and put back on output."
    empty = np.array([i for i, value in constants if value is None], int)
    if len(empty):
        have = "has" if len(empty) == 1 else "have"
        notes.append(f"{_named(schema, empty)} {have} no value: {left_out}")
    fixed = np.setdiff1d(still, np.union1d(lost, empty))
    if len(fixed):
        are = "is" if len(fixed) == 1 else "are"
        notes.append(f"{_named(schema, fixed)} {are} constant: {left_out}")
    if len(lost):
        vary = "varies" if len(lost) == 1 else "vary"
        notes.append(
            f"{_named(schema, lost)} {vary} by less than float32 can tell: {left_out} Subtract an "
            "offset or rescale to keep what varies."
        )
    return replace(schema, constants=constants, event=(len(low) - len(still),)), notes


def _refuse_constants(schema: Schema, x: Values, rows: Array) -> None:
    """Refuses continuous columns of mixed data that never vary: each has a density of its own."""
    low, high = _range(x, rows, np.float32)
    for i, kind in enumerate(schema.kinds):
        if kind in CONTINUOUS and low[i] >= high[i]:
            raise DiaboloError(
                f"{schema.column(i).capitalize()} is constant, so that no density of '{kind}' "
                "values is bounded there: leave out the column and its density."
            )


def _range(
    x: Values, rows: Array | None = None, dtype: type[np.float32] | None = None
) -> tuple[Array, Array]:
    """Returns the least and greatest seen value of each element, flat; inf and -inf without any.

    Arguments:
        x: Values (N, *).
        rows: The positions of those to look at; None for all.
        dtype: The type to bring them to first.
    """
    lows: list[Array] = []
    highs: list[Array] = []
    for _, block in pieces(x, rows):
        flat = block.reshape(len(block), -1)
        flat = flat if dtype is None else flat.astype(dtype)
        low, high = flat.min(0), flat.max(0)
        if flat.dtype.kind == "f" and np.isnan(low).any():
            seen = ~np.isnan(flat)
            low = np.where(seen, flat, np.inf).min(0)
            high = np.where(seen, flat, -np.inf).max(0)
        lows.append(low)
        highs.append(high)
    return np.stack(lows).min(0), np.stack(highs).max(0)


def _rounded(x: Values, rows: Array, columns: Array) -> Array:
    """Returns which of these columns have a value that float32 rounds."""
    found = np.zeros(len(columns), bool)
    for _, block in pieces(x, rows):
        some = block.reshape(len(block), -1)[:, columns]
        found |= (np.abs(some.astype(np.float32) - some) > 0).any(0)
    return found


def _nothing(whole: Values, fitted: int, lost: bool) -> DiaboloError:
    """Returns the error for training rows in which no column varies in float32."""
    if lost:
        return DiaboloError(
            "The columns vary by less than float32 can tell (7 digits), so that there is nothing "
            "to learn: subtract an offset from each, such as its mean, or rescale them."
        )
    low, high = _range(whole)
    if bool((low < high).any()):
        are, them = ("is", "it") if fitted == 1 else ("are", "them")
        return DiaboloError(
            f"Of {len(whole)} rows only {fitted} {are} left to learn from, and no column varies "
            f"in {them}, so that there is nothing to learn: give more rows, or hold out fewer "
            "for validation (data.valid)."
        )
    return DiaboloError("All columns are constant: there is nothing to learn.")


def _named(schema: Schema, columns: Array) -> str:
    """Returns `Columns 'a', 'b' and 3 more`."""
    names = ", ".join(schema.column(int(i)).removeprefix("column ") for i in columns[:5])
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return f"{'Column' if len(columns) == 1 else 'Columns'} {names}{more}"


def _only(x: Values, rows: Array, column: int) -> float | None:
    """Returns the first seen value of a column; None without any."""
    for _, block in pieces(x, rows):
        values = block.reshape(len(block), -1)[:, column].astype(np.float64)
        seen = values[~np.isnan(values)]
        if len(seen):
            return float(seen[0])
    return None


def _classes(found: Found) -> tuple[str, ...]:
    if found.classes:
        return found.classes
    columns = [p.labels for p in found.parts if p.labels is not None]
    return class_names(columns, 1000) if columns else ()


def _conditions(
    found: Found, config: DataConfig, classes: tuple[str, ...], rows: Array
) -> tuple[Condition, ...]:
    names = condition_names(config)
    if not names:
        names = tuple(found.train.conditions)
    fitted = []
    for name in names:
        if name in found.train.conditions:
            columns = [p.conditions[name] for p in found.parts if name in p.conditions]
            fitted.append(fit_condition(name, columns, rows=rows))
        elif name in ("labels", found.label) and found.train.labels is not None:
            columns = [p.labels for p in found.parts if p.labels is not None]
            if found.table is not None and len(classes) == 1:
                raise DiaboloError(
                    f"'{found.label}' has the one value '{classes[0]}', so that there is nothing "
                    "to condition on: leave the condition out."
                )
            fitted.append(fit_condition(found.label, columns, classes, rows))
        elif name == "labels":
            raise DiaboloError(
                "condition='labels' needs labels, but the data have none: give labels=..., or "
                "name the column or key of the labels."
            )
        else:
            raise unknown("condition", name, [*found.train.conditions, "labels"])
    return tuple(fitted)
