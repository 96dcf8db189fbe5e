"""NumPy files of one array, `.npy`, and folders of them: whole, or left in files if they are large.

The files of a folder, `part-0000.npy`, `part-0001.npy`, ..., are one data set, in the order of
their names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DiaboloError
from ..found import Found, Rows
from ..mapped import Array, Mapped, mapping
from .ask import Ask, shards, without_rows
from .numpy_file import numpy_file, refusal

__all__ = ["ENDINGS", "npy", "open_npy"]

ENDINGS = (".npy",)
SHARDS: tuple[str, ...] = (".npy",)
OPTIONS: tuple[str, ...] = ("memory",)


def npy(path: Path, ask: Ask) -> Found:
    """Returns the array of a file, or of the files of a folder together.

    Raises:
        DiaboloError: If one is damaged, pickled or unlike the others, or cannot stay in its file.
    """
    memory, files = ask.config.memory, shards(path, SHARDS)
    try:
        size = sum(p.stat().st_size for p in files)
    except OSError as error:
        raise DiaboloError(f"Cannot read '{path}': {error.strerror}.") from None
    packed = path.name.lower().endswith(".gz")
    if packed and memory == "mapped":
        raise DiaboloError(f"'{path}' is packed, so that it cannot stay in its file: unpack it.")
    if files == [path] and (packed or not mapping(memory, size)):
        return numpy_file(path, ask)
    kept = [p for p in files if files == [path] or not _without_rows(p)] or files
    found, notes = Mapped(_alike(kept)), without_rows(files, kept)
    if mapping(memory, size):
        return Found(Rows(found), notes=notes)
    return Found(Rows(found.gather(np.arange(len(found)))), notes=notes)


def _alike(files: list[Path]) -> tuple[Array, ...]:
    """Opens files that must hold rows of the same shape and type."""
    parts = []
    for path in files:
        part = open_npy(path)
        if parts and (part.shape[1:], part.dtype) != (parts[0].shape[1:], parts[0].dtype):
            raise DiaboloError(
                f"Expected files alike, but '{files[0]}' has rows of shape {parts[0].shape[1:]} "
                f"and type {parts[0].dtype}, and '{path}' of shape {part.shape[1:]} and type "
                f"{part.dtype}."
            )
        parts.append(part)
    return tuple(parts)


def open_npy(path: Path) -> Array:
    """Returns the array of a file, memory-mapped.

    Raises:
        DiaboloError: If it is damaged or pickled, or holds no rows.
    """
    array = _opened(path)
    if not array.ndim or not array.size:
        raise DiaboloError(f"Expected rows of numbers, but '{path}' has the shape {array.shape}.")
    return np.asarray(array)


def _without_rows(path: Path) -> bool:
    array = _opened(path)
    return array.ndim > 0 and not len(array)


def _opened(path: Path) -> Array:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DiaboloError(f"Cannot read '{path}': {error.strerror}.") from None
    except (ValueError, EOFError) as error:
        raise refusal(path, error) from None
