"""What the values and axes of an array mean, by stated rules.

Values: `bool` and {0, 1} are binary; uint8 is byte(256); at most 256 equally spaced floats in
[0, 1] are byte(levels); other floats in [0, 1] are unit; non-negative integers are counts; all
else is real. Axes: (N, D) is a table, (N, H, W) grey images; of (N, A, H, B) the channels are the
last axis if B is 1, 3 or 4 and A is not, the first if only A is, and else the smaller of the two;
where that does not decide, tensors have their channels first and arrays last.

Shapes: N data, D features, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np

from ..errors import DiaboloError, unknown
from ..spec import SUPPORTS, Support
from .mapped import Array, Mapped, Values, pieces

__all__ = [
    "Layout",
    "Meaning",
    "Units",
    "grid_error",
    "infer_kinds",
    "infer_layout",
    "infer_support",
    "parse_support",
    "to_inside",
    "to_outside",
]

Layout = Literal["vector", "hw", "hwc", "chw"]
Units = Literal["plain", "levels", "grid"]


class Meaning(NamedTuple):
    """What one value is.

    Attributes:
        support: Its support.
        levels: The number of values, where the support has levels.
        units: How the user writes levels: 0, 1, ... (`levels`) or j / (levels - 1) (`grid`);
            `plain` where the value is itself.
        notes: Sentences for the user.
    """

    support: Support
    levels: int | None = None
    units: Units = "plain"
    notes: tuple[str, ...] = ()


def parse_support(text: str) -> tuple[Support, int | None]:
    """Reads `real` or `byte:17`.

    Raises:
        DiaboloError: At an unknown support, or levels where it has none or too few.
    """
    name, colon, count = text.partition(":")
    if name not in SUPPORTS:
        raise unknown("support", name, SUPPORTS)
    leveled = name in ("byte", "category", "ordinal")
    if not colon and name != "byte" and leveled:
        raise DiaboloError(f"data.support '{name}' needs its levels, as in '{name}:5'.")
    if not colon:
        return cast(Support, name), 256 if name == "byte" else None
    most = 256 if name == "byte" else 1 << 15
    if not leveled or not count.isdigit() or not 2 <= int(count) <= most:
        raise DiaboloError(
            f"Expected data.support such as 'real', 'byte:17' (2 to 256 levels) or 'category:5', "
            f"but got '{text}'."
        )
    return cast(Support, name), int(count)


def infer_support(parts: Sequence[Values]) -> Meaning:
    """Returns what the values of these arrays are, together; NaN is passed over."""
    kinds = {p.dtype.kind for p in parts}
    if kinds == {"b"}:
        return Meaning("binary")
    if kinds <= {"b", "u", "i"}:
        ends = [(int(c.min()), int(c.max())) for c in _chunks(parts)]
        low, high = min(a for a, _ in ends), max(b for _, b in ends)
        if low >= 0 and high <= 1:
            return Meaning("binary")
        if all(p.dtype == np.uint8 for p in parts):
            return Meaning("byte", 256, "levels")
        return _integers(low, high)
    return _floats(parts)


def infer_kinds(parts: Sequence[Values]) -> tuple[str, ...]:
    """Returns the support of each column of these tables (N, D), together.

    Grey levels are none of a table: whole numbers are counts, values in [0, 1] are `unit`.
    """
    kinds: list[str] = []
    for i in range(parts[0].shape[1]):
        found = infer_support([_column(p, i) for p in parts])
        if found.support == "byte":
            kinds.append("count" if found.units == "levels" else "unit")
        else:
            kinds.append(found.support)
    return tuple(kinds)


def _column(x: Values, i: int) -> Values:
    if isinstance(x, Mapped):
        return x.then(lambda block, _: block[:, i : i + 1])
    return x[:, i : i + 1]


def _integers(low: int, high: int) -> Meaning:
    if low < 0:
        return Meaning("real")
    if high > 255:
        return Meaning("count", notes=(f"Integers from {low} to {high}: read as counts.",))
    hint = f"If they are grey levels, say support='byte:{high + 1}'."
    return Meaning("count", notes=(f"Integers from {low} to {high}: read as counts. {hint}",))


def _floats(parts: Sequence[Values]) -> Meaning:
    low, high, whole = np.inf, -np.inf, True
    for chunk in _chunks(parts):
        if len(chunk):
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            whole = whole and bool((chunk == np.rint(chunk)).all())
    if low >= 0 and high <= 1:
        if whole:
            return Meaning("binary")
        levels = _grid(parts)
        if levels is None:
            return Meaning("unit")
        note = f"{levels} equally spaced values in [0, 1]: read as grey levels (byte:{levels})."
        return Meaning("byte", levels, "grid", (note,))
    if whole and low >= 0:
        return _integers(int(low), int(high))
    return Meaning("real")


def _chunks(parts: Sequence[Values]) -> Iterator[Array]:
    """Yields flat pieces without NaN."""
    for p in parts:
        for _, block in pieces(p):
            flat = block.reshape(-1)
            missing = flat.dtype.kind == "f" and bool(np.isnan(flat.min()))
            yield flat[~np.isnan(flat)] if missing else flat


def grid_error(x: Array, levels: int) -> Array:
    """Returns which values are no j / (levels - 1), up to the rounding of their type."""
    tolerance = 1.2 * (levels - 1) * float(np.finfo(x.dtype).eps) + 1e-9
    scaled = x.astype(np.float64) * (levels - 1)
    return np.abs(scaled - np.rint(scaled)) > tolerance


def _grid(parts: Sequence[Values]) -> int | None:
    """Returns the least number of equally spaced levels that holds all values; None over 256."""
    distinct: Array | None = None
    levels: int | None = None
    for chunk in _chunks(parts):
        values = chunk if chunk.dtype.kind == "f" else chunk.astype(np.float32)
        if levels is not None and not grid_error(values, levels).any():
            continue
        # A finer grid that holds the distinct values so far holds the whole coarser grid: its
        # step divides the least step in which all of them are whole.
        new = np.unique(values)
        distinct = new if distinct is None else np.union1d(distinct, new)
        if len(distinct) > 256:
            return None
        found = distinct
        levels = next((m for m in range(2, 257) if not grid_error(found, m).any()), None)
        if levels is None:
            return None
    return levels


def infer_layout(shape: tuple[int, ...], first: bool) -> tuple[Layout, str | None]:
    """Returns the layout of an array (N, *) and, where it was a guess, a sentence.

    Arguments:
        shape: The shape with its axis of rows.
        first: Whether ambiguous images have their channels first, as tensors do.

    Raises:
        DiaboloError: If the array has too many axes.
    """
    if len(shape) <= 2:
        return "vector", None
    if len(shape) == 3:
        return "hw", None
    if len(shape) > 4:
        raise DiaboloError(
            f"Expected rows (N, D) or images (N, H, W), (N, H, W, C) or (N, C, H, W), but the "
            f"array has the shape {shape}. Reshape it."
        )
    before, after = shape[1], shape[3]
    usual = (1, 3, 4)
    if (before in usual) != (after in usual):
        return ("chw" if before in usual else "hwc"), None
    if before != after and before not in usual:
        return ("chw" if before < after else "hwc"), None
    layout: Layout = "chw" if first else "hwc"
    axis = "first" if first else "last"
    return layout, f"Images of shape {shape[1:]}: read with the channels {axis}."


def to_inside(x: Array, layout: Layout) -> Array:
    """Brings (N, *) of a layout to (N, D) or (N, channels, height, width), as a view."""
    if layout == "vector":
        return x.reshape(len(x), -1)
    if layout == "hw":
        return x[:, None]
    return np.moveaxis(x, -1, 1) if layout == "hwc" else x


def to_outside(x: Array, layout: Layout) -> Array:
    """Brings (N, D) or (N, channels, height, width) to a layout, as a view; a vector stays flat."""
    if layout == "hw":
        return x[:, 0]
    return np.moveaxis(x, 1, -1) if layout == "hwc" else x
