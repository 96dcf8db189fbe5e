"""NumPy files of one array: `.npy`. There are no keys in them, so that no option has an effect."""

from __future__ import annotations

from pathlib import Path

from ..found import Found
from .ask import Ask
from .numpy_file import numpy_file

__all__ = ["ENDINGS", "npy"]

ENDINGS = (".npy",)
OPTIONS: tuple[str, ...] = ()


def npy(path: Path, ask: Ask) -> Found:
    """Returns the array of a file.

    Raises:
        DiaboloError: If it is damaged or pickled.
    """
    return numpy_file(path, ask)
