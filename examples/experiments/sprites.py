"""Pictures of one shape each, with the factors that made them: data of which the truth is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FACTORS", "Sprites", "sprites"]

FACTORS = {"shape": 2, "size": 4, "x": 8, "y": 8}  # and how many values each has


class Sprites(NamedTuple):
    """Images (N, side, side) of bits, and the value of each factor from 0, (N, 4)."""

    images: NDArray[np.float32]
    factors: NDArray[np.int64]


def sprites(n: int, side: int, seed: int = 0) -> Sprites:
    """Returns n pictures of a disc or a square, with independent and equally likely factors.

    There are 512 of them, all different from a side of 28 on. With a side of 16 only 492 are: at
    some places discs and squares of like sizes are then the same few bits.

    Arguments:
        n: How many.
        side: The width and height of a picture.
        seed: Draws the factors.
    """
    rng = np.random.default_rng(seed)
    values = np.stack([rng.integers(k, size=n) for k in FACTORS.values()], axis=1)
    shape, size, x, y = values.T[:, :, None, None]
    radius = side * (0.1 + 0.035 * size)
    middle = side * (0.25 + 0.5 * np.stack([x, y]) / 7)
    grid = np.arange(side) + 0.5
    across, down = np.abs(grid - middle[0]), np.abs(grid[:, None] - middle[1])
    disc = across**2 + down**2 <= radius**2
    square = np.maximum(across, down) <= radius * np.sqrt(np.pi) / 2  # of the disc's area
    return Sprites(np.where(shape == 0, disc, square).astype(np.float32), values)
