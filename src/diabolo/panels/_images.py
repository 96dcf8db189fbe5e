"""Many pictures laid out as one.

Shapes: N pictures, H and W their height and width.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

__all__ = ["grid", "size_note", "to_bytes"]

LEAST = 48  # pixels below which a picture is enlarged


def grid(
    pictures: np.ndarray, columns: int | None = None, *, pad: int = 2, least: int = LEAST
) -> np.ndarray:
    """Returns one picture of many, row by row.

    Arguments:
        pictures: Values in [0, 1], (N, H, W) or (N, H, W, 3).
        columns: Pictures in a row; None makes the grid about square.
        pad: Pixels of white between pictures.
        least: Small pictures are enlarged smoothly, by a whole factor, to at least so many pixels.

    Returns:
        Values in [0, 1], (H', W') or (H', W', 3).
    """
    n, h, w = pictures.shape[:3]
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    factor = max(1, math.ceil(least / min(h, w)))
    if factor > 1:
        pictures = _enlarge(pictures, factor)
        h, w = h * factor, w * factor
    page = np.ones((rows * (h + pad) - pad, columns * (w + pad) - pad, *pictures.shape[3:]))
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (h + pad), (i % columns) * (w + pad)
        page[top : top + h, left : left + w] = picture
    return page


def size_note(pictures: np.ndarray) -> str:
    """Returns a sentence on the size of pictures (N, H, W, ...), for a caption."""
    h, w = pictures.shape[1:3]
    return f" Pictures of {h}x{w} pixels{', enlarged smoothly' if min(h, w) < LEAST else ''}."


def _enlarge(pictures: np.ndarray, factor: int) -> np.ndarray:
    """Returns pictures whose pixels are interpolated: 8x8 squares are hard to read as a digit."""
    h, w = pictures.shape[1] * factor, pictures.shape[2] * factor
    planes = pictures[..., None] if pictures.ndim == 3 else pictures
    out = np.empty((len(planes), h, w, planes.shape[-1]), dtype=np.float32)
    for i, picture in enumerate(planes):
        for j in range(planes.shape[-1]):
            plane = Image.fromarray(np.ascontiguousarray(picture[..., j], dtype=np.float32))
            out[i, ..., j] = np.asarray(plane.resize((w, h), Image.Resampling.BICUBIC))
    return np.clip(out[..., 0] if pictures.ndim == 3 else out, 0.0, 1.0)


def to_bytes(page: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as grey levels 0 to 255."""
    return (np.clip(page, 0.0, 1.0) * 255).round().astype(np.uint8)
