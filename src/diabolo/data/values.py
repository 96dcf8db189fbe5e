"""From a user's values to small stored ones, each checked against its support.

Shapes: N data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from ..errors import DiaboloError
from ..spec import Support
from .infer import Units, grid_error, parse_support
from .mapped import Array, Values, pieces

__all__ = ["as_float32", "element_name", "refuse_infinite", "refuse_missing", "stored_values"]

Name = Callable[[int], str]
BLOCK = 1 << 17  # values that are looked at more than once while they are in the cache


def element_name(i: int, shape: tuple[int, ...], columns: tuple[str, ...]) -> str:
    """Returns what to call the i-th element of a datum in a sentence."""
    if columns:
        return f"column '{columns[i]}'"
    if len(shape) <= 1:
        return f"column {i}"
    return f"position {tuple(int(p) for p in np.unravel_index(i, shape))}"


def _where(bad: Array, name: Name, first: int = 0) -> str:
    """Returns `row 3, column 'pH'` for the first marked value; `first` rows came before."""
    row, *rest = (int(i[0]) for i in bad.nonzero())
    element = int(np.ravel_multi_index(tuple(rest), bad.shape[1:])) if rest else 0
    return f"row {first + row}, {name(element)}"


def _count(x: Values, test: Callable[[Array], Array], name: Name) -> tuple[int, str]:
    """Returns how many values pass a test, and where the first is."""
    count, where = 0, ""
    for first, block in pieces(x):
        found = test(block)
        new = int(found.sum())
        if new and not count:
            where = _where(found, name, first)
        count += new
    return count, where


def refuse_infinite(x: Values, name: Name) -> None:
    """Refuses infinite values, naming the first.

    Raises:
        DiaboloError: If there is one.
    """
    count, where = _count(x, np.isinf, name)
    if count:
        raise DiaboloError(
            f"The data have {count} infinite values, the first in {where}: "
            "remove the rows or mend the values."
        )


def refuse_missing(x: Values, name: Name) -> None:
    """Refuses NaN, naming the first.

    Raises:
        DiaboloError: If there is one.
    """
    count, where = _count(x, np.isnan, name)
    if count:
        raise DiaboloError(
            f"The data have {count} missing values (NaN or masked), the first in "
            f"{where}: fill them in, or say missing='nan' to treat them as "
            "not seen."
        )


def stored_values(
    x: Array,
    support: Support,
    levels: int | None,
    units: Units,
    missing: Literal["refuse", "nan", "auto"],
    name: Name,
    first: int = 0,
    kinds: tuple[str, ...] = (),
) -> tuple[Array, Array | None]:
    """Returns what to store of (N, *), in a small type, and the mask of seen entries or None.

    Arguments:
        x: The user's values.
        support: What they must be.
        levels: The number of grey levels or codes, where there are such.
        units: How the user writes grey levels; `plain` where they are none.
        missing: What NaN means; `auto` is `nan` without a mask where all is seen.
        name: What to call an element of a datum in a sentence.
        first: How many rows came before these, for sentences.
        kinds: Of `mixed` data, what the values of each column must be.

    Raises:
        DiaboloError: At a value outside its support, naming its row and column.
    """
    mask = None
    if support == "binary" and missing == "refuse" and x.dtype.kind == "f":
        bits = _bits(x)
        if bits is not None:
            return bits, None
    if x.dtype.kind not in "biuf":
        raise DiaboloError(f"Expected numbers, but the array holds '{x.dtype}'.")
    if x.dtype.kind == "f":
        refuse_infinite(x, name)
        if missing != "refuse":
            unseen = np.isnan(x)
            mask = None if missing == "auto" and not unseen.any() else ~unseen
            fill = 1.0 if support in ("positive", "mixed") else 0.0  # it lies in the support
            x = np.where(unseen, np.asarray(fill, x.dtype), x) if unseen.any() else x
        else:
            refuse_missing(x, name)
    elif missing == "nan":
        mask = np.ones(x.shape, bool)
    if support == "mixed":
        return _columns(x, kinds, name, first), mask
    if levels is not None and units != "plain":
        return _levels(x, levels, units, name, first), mask
    return _plain(x, support, levels, name, first), mask


def _columns(x: Array, kinds: tuple[str, ...], name: Name, first: int) -> Array:
    """Returns rows (N, D) as float32, each column checked against its own support."""
    for i, kind in enumerate(kinds):
        support, levels = parse_support(kind)
        _plain(x[:, i : i + 1], support, levels, lambda _, i=i: name(i), first)
    return as_float32(x, name, first) if x.dtype.kind == "f" else x.astype(np.float32)


def _bits(x: Array) -> Array | None:
    """Returns bits as bytes; None if a value is none, which also NaN and infinity are not.

    It goes over blocks that stay in the processor's cache.
    """
    out = np.empty(x.shape, np.bool_)
    rows = max(1, BLOCK // max(1, x[:1].size))
    for first in range(0, len(x), rows):
        block = x[first : first + rows]
        one = np.not_equal(block, 0, out=out[first : first + rows])
        if (one & (block != 1)).any():
            return None
    return out.view(np.uint8)


def _levels(x: Array, levels: int, units: Units, name: Name, first: int) -> Array:
    if x.dtype == np.uint8 and levels == 256 and units == "levels":
        return x
    if units == "grid":
        floats = x if x.dtype.kind == "f" else x.astype(np.float32)
        bad = grid_error(floats, levels) | (floats < 0) | (floats > 1)
        if bad.any():
            raise DiaboloError(
                f"Expected {levels} equally spaced values in [0, 1] as grey levels, but got "
                f"{_first(x, bad)} in {_where(bad, name, first)}."
            )
        return np.rint(floats * np.float32(levels - 1)).astype(np.uint8)
    bad = (x < 0) | (x > levels - 1) | (x != np.rint(x))
    if bad.any():
        raise DiaboloError(
            f"Expected grey levels 0 to {levels - 1} (byte:{levels}), but got {_first(x, bad)} in "
            f"{_where(bad, name, first)}."
        )
    return x.astype(np.uint8)


def _first(x: Array, bad: Array) -> str:
    return f"{x[bad][0]:g}" if x.dtype.kind == "f" else str(x[bad][0])


EXPECTED: dict[str, str] = {
    "binary": "0 or 1 (binary); binarize grey values, or say another support",
    "unit": "values in [0, 1] (unit); scale the data, or say another support",
    "positive": "values above 0 (positive)",
    "count": "non-negative integers (count)",
}


def _plain(x: Array, support: Support, levels: int | None, name: Name, first: int) -> Array:
    if support == "real" and x.dtype.kind == "f":
        return x if x.dtype == np.float32 else as_float32(x, name, first)
    if support == "real":
        return x.astype(np.float32)
    if support == "binary":
        bad = (x != 0) & (x != 1)
    elif support == "unit":
        bad = (x < 0) | (x > 1)
    elif support == "positive":
        bad = ~(x > 0)
    else:
        bad = (x < 0) | (x != np.rint(x)) | (x >= (levels or np.inf))
    if bad.any():
        expected = EXPECTED.get(support, f"codes 0 to {(levels or 0) - 1} ({support})")
        raise DiaboloError(
            f"Expected {expected}, but got {_first(x, bad)} in {_where(bad, name, first)}."
        )
    if support == "binary":
        return x.astype(np.uint8)
    if support in ("unit", "positive"):
        return x.astype(np.float32)
    top = int(x.max()) if x.size else 0
    if top > 1 << 24:
        raise DiaboloError(
            f"The count {top} exceeds 2^24, which float32 cannot hold: say support='real', or use "
            "logarithms."
        )
    return x.astype(np.uint8 if top < 1 << 8 else np.int16 if top < 1 << 15 else np.int32)


def as_float32(x: Array, name: Name, first: int = 0) -> Array:
    """Returns float32.

    Arguments:
        x: Floats (N, *).
        name: What to call an element of a datum in a sentence.
        first: How many rows came before these, for sentences.

    Raises:
        DiaboloError: If a value is too large for it, naming its row and column.
    """
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32)
    bad = np.isinf(narrow)
    if bad.any():
        raise DiaboloError(
            f"The value {_first(x, bad)} in {_where(bad, name, first)} is too large for float32: "
            "rescale the data."
        )
    return narrow
