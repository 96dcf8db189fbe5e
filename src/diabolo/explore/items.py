"""One datum as a page shows and sends it: a picture, or columns.

Shapes: n rows, m rows of a query, E event shape inside, S the layout of one datum as the user has
it, H, W and C height, width and channels of a picture.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.found import Rows as Given
from ..data.memory import from_memory
from ..data.readers.table import of_text
from ..errors import DiaboloError
from ..exports._units import Kind, Writing
from ..panels._run import is_pictures, pictures, span

if TYPE_CHECKING:
    from ..data import Data
    from ..data.table import Column
    from ..run import Run

__all__ = ["Items"]

LOOKED = 1000  # rows from which the range of pictures without one is taken
WIDE = 1000  # columns of a table that is sent
SHOWN = 500  # rows that are decoded at once


class Items:
    """How rows of a run are told to a page, and read from it.

    Arguments:
        run: The run.
        data: The rows of the scene.
    """

    def __init__(self, run: Run, data: Data) -> None:
        self.run, self.schema = run, run.schema
        self.writing = Writing(run.schema).to(run.device)
        self.size = prod(run.schema.shape)
        image = is_pictures(run)
        self.kind = "image" if image else "table" if run.schema.columns else "vector"
        self.shape = run.schema.shape if image else (self.size,)
        self.values = self._all(data)
        self.low, self.high = 0.0, 1.0
        if image:
            self.low, self.high = span(run, self.values[:LOOKED])

    def _all(self, data: Data) -> NDArray[Any]:
        """Returns the rows in the user's units, (n, *S) as the user has them or (n, columns)."""
        parts = []
        for rows in torch.arange(len(data)).split(SHOWN):
            batch = data.batch(rows)
            x = self.schema.array(batch.x)
            if self.kind != "image":
                x = np.array(x, dtype=np.float32).reshape(len(rows), -1)
                if batch.mask is not None:
                    seen = self.schema.outside(batch.mask.cpu().numpy(), True)
                    x[~seen.reshape(len(rows), -1)] = np.nan
            parts.append(x)
        return np.concatenate(parts)

    def array(self) -> NDArray[Any]:
        """Returns all rows as a page gets them: bytes (n, H, W, C), or float32 (n, columns)."""
        if self.kind != "image":
            return self.values
        parts = []
        for part in np.array_split(self.values, -(-len(self.values) // SHOWN)):
            seen = pictures(self.run, part, self.values[:LOOKED])
            parts.append(np.rint(255 * seen).astype(np.uint8))
        found = np.concatenate(parts)
        return found if found.ndim == 4 else found[..., None]

    def describe(self) -> dict[str, Any]:
        """Returns what a page is told of an item."""
        out: dict[str, Any] = {"kind": self.kind, "layout": None, "columns": []}
        if self.kind != "image":
            return {**out, "columns": [self._column(i) for i in range(self.size)]}
        channels, height, width = self.run.spec.event
        sizes = {"height": height, "width": width, "channels": channels}
        return {**out, **sizes, "low": self.low, "high": self.high, "layout": self.schema.layout}

    def _column(self, i: int) -> dict[str, Any]:
        names, table, values = self.schema.columns, self.schema.table, self.values[:, i]
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        name = str(names[i]) if names else f"x{i}"
        out = {"name": name, "kind": "number", "levels": None, "low": low, "high": high}
        out |= {"step": None, "unit": None}
        if table is not None and table.mixed:
            return {**out, **_kind(table.columns[i])}
        whole = (
            self.schema.source in ("binary", "count") or np.dtype(self.schema.dtype).kind in "iu"
        )
        return {**out, "step": 1} if whole else out

    def user(self, values: Tensor, kind: Kind = "value") -> NDArray[np.float32]:
        """Returns a model's values, or standard deviations, (m, *E), as a page gets them."""
        found = self.writing(values, kind)
        return found.reshape(len(values), *self.shape).float().cpu().numpy()

    def spread(self, variance: Tensor) -> NDArray[np.float32]:
        """Returns standard deviations from variances (m, *E); NaN where levels have none."""
        found = self.user(variance.clamp(min=0.0).sqrt(), "spread")
        for i, column in enumerate(self._levelled()):
            if column:
                found[:, i] = np.nan
        return found

    def _levelled(self) -> list[bool]:
        table = self.schema.table
        if table is None or not table.mixed:
            return []
        return [c.kind in ("category", "ordinal") for c in table.columns]

    def read(self, x: NDArray[Any], mask: NDArray[Any] | None = None) -> Data:
        """Returns what a page sends as the model's data, without a condition.

        Arguments:
            x: Values in the user's units, or bytes of pictures, (m, *S) or (m, columns); what
                has no such value takes the nearest, in pictures. NaN is a hole.
            mask: 1 where a value was seen, likewise; then the others are holes.

        Raises:
            DiaboloError: If it has another shape, or holds values that a datum cannot have.
        """
        if x.dtype == np.uint8:
            x = self._pixels(x)
        if x.shape[1:] != self.shape:
            raise DiaboloError(
                f"An item has the shape {list(self.shape)}, but got {list(x.shape[1:])}."
            )
        values = x.astype(np.float32)
        schema = self.schema
        if mask is not None:
            seen = self._seen(mask, x.shape)
            schema = replace(schema, missing="nan")
            values = np.where(seen, values, np.nan)
        if self.kind == "image":
            values = self._nearest(values)
        values = values.reshape(len(values), *schema.shape)
        if mask is None and schema.units == "levels" and not np.isnan(values).any():
            values = values.astype(schema.dtype)
        data = schema.read(Given(values))
        moved = schema.moved(values)
        if moved:
            raise DiaboloError(moved)
        return data

    def _pixels(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Returns bytes (m, H, W, C) or, of one channel, (m, H, W) in the user's units."""
        if self.kind != "image":
            raise DiaboloError("Bytes are for pictures: send numbers, f4.")
        channels, height, width = self.run.spec.event
        if x.shape[1:] not in [(height, width, channels), (height, width)[: 3 - channels]]:
            raise DiaboloError(
                f"A picture is {height} x {width} pixels of {channels} byte(s), but got the shape "
                f"{list(x.shape[1:])}."
            )
        x = x.reshape(len(x), height, width, channels)
        grey = self._arranged(x).astype(np.float32) / 255
        return (self.low + grey * (self.high - self.low)).astype(np.float32)

    def _arranged(self, x: NDArray[Any]) -> NDArray[Any]:
        """Returns (m, H, W, C) in the user's layout."""
        layout = self.schema.layout
        return x[..., 0] if layout == "hw" else np.moveaxis(x, -1, 1) if layout == "chw" else x

    def _seen(self, mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Returns a mask of items of this shape; of a picture one for all channels will do."""
        if self.kind == "image" and mask.shape[1:] == self.run.spec.event[1:]:
            channels = self.run.spec.event[0]
            mask = self._arranged(np.repeat(mask[..., None], channels, axis=-1))
        if mask.shape != shape:
            raise DiaboloError(f"A mask has the shape of its items, but got {list(mask.shape)}.")
        return mask != 0

    def _nearest(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the values nearest to these that a picture can have."""
        schema = self.schema
        if schema.source == "binary":
            return np.where(np.isnan(x), np.nan, x > 0.5).astype(np.float32)
        if schema.source == "count":
            return np.rint(x).clip(min=0)
        if schema.span is not None:
            x = x.clip(*schema.span)
        if schema.grey is None:
            return x
        top = schema.grey - 1
        level = schema.units == "levels"
        return (np.rint(x) if level else np.rint(x * top) / top).astype(np.float32)

    def table(self, text: bytes, most: int) -> tuple[NDArray[np.float32], int]:
        """Returns the first rows of a table of text, (m, columns), and how many there are.

        Raises:
            DiaboloError: If it is no table, or not like that of the run.
        """
        if self.kind == "image":
            raise DiaboloError("This run is of pictures: send one, not a table.")
        found = of_text(text, "what was sent")[0]
        if found.num_columns > max(WIDE, 2 * self.size):
            raise DiaboloError(f"This table has {found.num_columns} columns, which are too many.")
        columns = self.schema.columns
        few = found.slice(0, most)
        if columns and set(columns) <= set(few.column_names):
            few = few.select(list(dict.fromkeys(columns)))  # others are passed over
        values = self.schema.numbered(from_memory(few, columns=columns).train).x
        values = np.asarray(values, dtype=np.float32).reshape(len(few), -1)
        if values.shape[1] != self.size:
            raise DiaboloError(
                f"A row has {self.size} columns, but this table has {values.shape[1]}."
            )
        return values, len(found)


def _kind(column: Column) -> dict[str, Any]:
    """Returns what a page is told of a column beyond its name and range."""
    if column.kind in ("category", "ordinal"):
        levels = [str(v) for v in column.levels] + (["other"] if column.pooled else [])
        return {"kind": "levels", "levels": levels, "low": 0, "high": len(levels) - 1, "step": 1}
    if column.kind == "boolean":
        return {"kind": "boolean", "low": 0, "high": 1, "step": 1}
    if column.kind == "date":
        first = str(column.decode(np.zeros(1))[0].as_py())[:10]
        step = 1 if column.daily else None
        return {"kind": "date", "unit": f"days from {first}", "step": step}
    return {"step": 1} if column.kind == "count" else {}
