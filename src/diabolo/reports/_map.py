"""The map of codes as the script of a page draws it, with a small picture of each datum.

Shapes: n rows.
"""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..panels._images import to_bytes
from ..panels._rows import Rows, plane
from ..panels._run import by_name, is_pictures, pictures, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["MEASURES", "interactive", "told"]

TILE = 28  # pixels of a small picture, at most
COLUMNS = 12  # of a table, to colour by
MEASURES = ("rate", "distortion", "bound")


def interactive(rows: Rows) -> dict[str, Any]:
    """Returns what `page/report.js` reads: points, colours, and tiles of pictures.

    Arguments:
        rows: The rows on the map.

    Raises:
        NotApplicable: If there is no plane of their codes.
    """
    at = plane(rows)
    found: dict[str, Any] = {
        "points": _floats(at.points),
        "names": list(at.names),
        "colours": _colours(rows),
        "sprite": None,
        "tile": [1, 1],
        "per_row": 1,
        "text": [f"row {i}" for i in rows.data.rows.tolist()],
    }
    return found | (_sprite(rows) if is_pictures(rows.run) else {})


def told(rows: Rows, most: int) -> list[str]:
    """Returns what each of the first rows tells when a pointer is over it."""
    out = []
    for i, at in enumerate(rows.data.rows.tolist()[:most]):
        words = [f"row {at}"]
        label = rows.label(i)
        words += [] if label is None else [f"label {label}"]
        for name in MEASURES:
            values = getattr(rows, name)
            words += [] if values is None else [f"{name} {values[i]:.2f} nats"]
        out.append(", ".join(words))
    return out


def _colours(rows: Rows) -> list[dict[str, Any]]:
    out = []
    if rows.labels is not None:
        levels = list(rows.classes) or None
        kind = "levels" if levels else "number"
        out.append(_colour("label", "label", kind, levels, rows.labels))
    for name in MEASURES:
        values = getattr(rows, name)
        if values is not None:
            out.append(_colour(name, f"{name} (nats)", "number", None, values))
    if is_pictures(rows.run):
        return out
    x, _, mask = shown(rows.run, rows.data, len(rows))
    for i, (name, values) in enumerate(by_name(rows.run, x, mask).items()):
        if i == COLUMNS:
            break
        if np.issubdtype(values.dtype, np.number):
            out.append(_colour(f"column{i}", name, "number", None, values))
            continue
        words = ["" if v is None else str(v) for v in values]
        levels = sorted(set(words) - {""})
        codes = [levels.index(w) if w else -1 for w in words]
        out.append(_colour(f"column{i}", name, "levels", levels, codes))
    return out


def _colour(
    name: str, title: str, kind: str, levels: list[str] | None, values: ArrayLike
) -> dict[str, Any]:
    told = {"name": name, "title": title, "kind": kind, "levels": levels}
    return {**told, "values": _floats(values)}


def _floats(values: ArrayLike) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _sprite(rows: Rows) -> dict[str, Any]:
    """Returns one picture of all rows' pictures, brought to a small size."""
    x, _, _ = shown(rows.run, rows.data, len(rows))
    small = to_bytes(pictures(rows.run, rows.run.schema.array(x.cpu())))
    n, h, w = small.shape[:3]
    part = min(1.0, TILE / max(h, w))
    size = max(1, round(w * part)), max(1, round(h * part))
    per_row = math.ceil(math.sqrt(n))
    mode = "L" if small.ndim == 3 else "RGB"
    page = Image.new(mode, (per_row * size[0], math.ceil(n / per_row) * size[1]))
    for i, picture in enumerate(small):
        tile = Image.fromarray(picture)
        tile = tile if tile.size == size else tile.resize(size, Image.Resampling.BOX)
        page.paste(tile, ((i % per_row) * size[0], (i // per_row) * size[1]))
    out = io.BytesIO()
    page.save(out, "PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    return {"sprite": address, "tile": list(size), "per_row": per_row}
