"""The condition of a model as a page shows and sends it: a label, or numbers.

Shapes: n rows, m rows of a query, J columns of the condition, C its width inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DiaboloError
from .wire import Query

if TYPE_CHECKING:
    from ..data import Data
    from ..run import Run

__all__ = ["Conditions"]


class Conditions:
    """How a run's conditions are told to a page, and read from it.

    A class that the model finds out itself is no condition here: it is an element of the code.

    Arguments:
        run: The run.
        data: The rows of the scene.
    """

    def __init__(self, run: Run, data: Data) -> None:
        self.columns = () if run.model.classifies else run.schema.conditions
        self.optional = run.model.unknown is not None
        self.device = run.device
        one = len(self.columns) == 1 and bool(self.columns[0].classes)
        self.kind = "label" if one else "numbers"
        if not one and any(c.classes for c in self.columns):
            self.kind = "columns"
        self.rows = None if not self.columns or data.c is None else self._outside(data.c)

    def _outside(self, c: Tensor) -> NDArray[Any]:
        """Returns conditions (n, C) as a page gets them: codes (n,), or numbers (n, J)."""
        parts = c.cpu().split([p.width for p in self.columns], dim=1)
        found: list[Tensor] = []
        for column, part in zip(self.columns, parts, strict=True):
            if column.classes:
                code = part.argmax(1).float()
                found.append(torch.where(part.any(1), code, -1.0))
            else:
                found.append(part[:, 0] * column.scale + column.mean)
        if self.kind == "label":
            return found[0].numpy().astype(np.int32)
        return torch.stack(found, 1).numpy()

    def describe(self) -> dict[str, Any] | None:
        """Returns what a page is told of them; None if there is no condition."""
        if not self.columns:
            return None
        first = self.columns[0]
        out = {"kind": self.kind, "optional": self.optional}
        if self.kind == "label":
            return {**out, "title": first.name, "levels": list(first.classes)}
        each = []
        for i, c in enumerate(self.columns):
            known = {"name": c.name, "kind": "levels" if c.classes else "number"}
            low, high = c.mean - 3 * c.scale, c.mean + 3 * c.scale
            if c.classes:
                low, high = 0, len(c.classes) - 1
            elif self.rows is not None:
                low, high = float(self.rows[:, i].min()), float(self.rows[:, i].max())
            start = 0 if c.classes else c.mean
            known |= {"levels": list(c.classes) or None, "low": low, "high": high, "start": start}
            known |= {} if c.classes else {"mean": c.mean, "scale": c.scale}  # as networks read it
            each.append(known)
        return {**out, "names": [c.name for c in self.columns], "columns": each}

    def read(self, query: Query, m: int) -> Tensor | None:
        """Returns the conditions (m, C) that a query gives, or None where there are none.

        They are its option `condition`, a code or a list of numbers for all of its rows, or its
        array of that name, with one for each.

        Raises:
            DiaboloError: If they are lacking, not wanted, or out of range.
        """
        given = query.arrays.get("condition")
        one = query.options.get("condition")
        if given is None and one is None:
            if self.columns and not self.optional:
                raise DiaboloError("This model is conditional: give a condition.")
            return None
        if not self.columns:
            raise DiaboloError("This model takes no condition.")
        width = len(self.columns)
        if given is None:
            listed = one if isinstance(one, list) else [one]
            if len(listed) != width or not all(type(v) in (int, float) for v in listed):
                raise DiaboloError(f"A condition is {width} number(s): codes of levels, or values.")
            values = np.array([listed], dtype=np.float64)
        else:
            values = query.array("condition", ("i4", "f4")).astype(np.float64)
            values = values[:, None] if values.ndim == 1 and width == 1 else values
        if values.ndim != 2 or values.shape[1] != width or len(values) not in (1, m):
            raise DiaboloError(f"Expected one condition or {m}, of {width} number(s) each.")
        parts = [_inside(c, values[:, i], self.optional) for i, c in enumerate(self.columns)]
        return torch.cat(parts, 1).expand(m, -1).to(self.device)


def _inside(column: Any, values: NDArray[np.float64], optional: bool) -> Tensor:
    """Returns one column of a condition (m,) as the model reads it, (m, width)."""
    if not column.classes:
        if not (np.abs(values) < 1e30).all():
            raise DiaboloError(f"The condition '{column.name}' is a finite number.")
        found = torch.from_numpy((values - column.mean) / column.scale)
        return found[:, None].float()
    least = -1 if optional else 0
    top = len(column.classes) - 1
    if not ((values >= least) & (values <= top) & (values == np.rint(values))).all():
        raise DiaboloError(
            f"The condition '{column.name}' is a whole number from {least} to {top}, the place of "
            "its level."
        )
    return (torch.from_numpy(values)[:, None] == torch.arange(column.width)).float()
