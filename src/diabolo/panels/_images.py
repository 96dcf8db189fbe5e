"""Pictures out of arrays: scaled to [0, 1], and laid out as a grid.

Shapes: N pictures, H and W their height and width.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["grid", "to_bytes"]


def grid(
    pictures: np.ndarray, columns: int | None = None, *, pad: int = 2, least: int = 32
) -> np.ndarray:
    """Returns one picture of many, row by row.

    Arguments:
        pictures: Values in [0, 1], (N, H, W) or (N, H, W, 3).
        columns: Pictures in a row; None makes the grid about square.
        pad: Pixels of white between pictures.
        least: Small pictures are enlarged by a whole factor to at least so many pixels.

    Returns:
        Values in [0, 1], (H', W') or (H', W', 3).
    """
    n, h, w = pictures.shape[:3]
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    factor = max(1, math.ceil(least / min(h, w)))
    pictures = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    h, w = h * factor, w * factor
    page = np.ones((rows * (h + pad) - pad, columns * (w + pad) - pad, *pictures.shape[3:]))
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (h + pad), (i % columns) * (w + pad)
        page[top : top + h, left : left + w] = picture
    return page


def to_bytes(page: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as grey levels 0 to 255."""
    return (np.clip(page, 0.0, 1.0) * 255).round().astype(np.uint8)
