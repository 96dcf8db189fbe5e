"""Folders: the four IDX files of a set such as MNIST, or images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...errors import DiaboloError
from ..found import Found
from .ask import Ask
from .idx import idx
from .images import image_files, read_images

__all__ = ["ENDINGS", "folder"]

ENDINGS = ("/",)
OPTIONS: tuple[str, ...] = ("size", "color", "strict", "memory")
SHARDS: tuple[str, ...] = ()


def folder(path: Path, ask: Ask) -> Found:
    """Returns the images of a folder and its subfolders.

    Raises:
        DiaboloError: If there are none.
    """
    files = image_files(path)
    if files:
        return read_images(path, files, ask)
    first = {
        part: next(iter(sorted(path.glob(f"{part}-images-idx3-ubyte*"))), None)
        for part in ("train", "t10k")
    }
    if first["train"] is not None:
        found = idx(first["train"], ask)
        test = None if first["t10k"] is None else idx(first["t10k"], ask).train
        return replace(found, test=test)
    others = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    if not others:
        raise DiaboloError(
            f"The folder '{path}' is empty: expected images, .npy files, or Parquet, Arrow or "
            "Feather files in it."
        )
    raise DiaboloError(
        f"There are no images in the folder '{path}' or its subfolders; it holds "
        f"'{others[0].name}'" + (f" and {len(others) - 1} more." if len(others) > 1 else ".")
    )
