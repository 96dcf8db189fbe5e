"""Readers of files: `readers/<name>.py` defines `<name>(path, ask) -> Found`.

Beside it are ENDINGS, the file endings that it reads, and OPTIONS, the options of `DataConfig`
that change what it does. Folders of files with an ending in SHARDS are read too, as one data set.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from ...config import DataConfig
from ...errors import DiaboloError
from ...registry import Registry
from ..found import Found
from .ask import Ask, shards

__all__ = ["READERS", "endings", "open_path", "options", "reader_of"]

READERS = Registry("reader", __name__, skip=("ask", "columns"))


def endings() -> dict[str, str]:
    """Returns the reader of each file ending; a folder's ending is `/`."""
    found = {}
    for name in READERS.names():
        for ending in importlib.import_module(f"{__name__}.{name}").ENDINGS:
            found[ending] = name
    return found


def open_path(
    path: Path, config: DataConfig, features: tuple[str, ...], conditions: tuple[str, ...]
) -> Found:
    """Returns what a file or folder holds.

    Arguments:
        path: The file or folder, which is there.
        config: How to read it.
        features: The columns of a table to take as data; () for all that are nothing else.
        conditions: The columns or keys to read as conditions.

    Raises:
        DiaboloError: If no reader knows its ending.
    """
    return READERS.load(reader_of(path))(path, Ask(config, features, conditions))


def options(path: Path) -> tuple[str, ...]:
    """Returns the options of `DataConfig` that have an effect on this file or folder."""
    return importlib.import_module(f"{__name__}.{reader_of(path)}").OPTIONS


def reader_of(path: Path) -> str:
    """Returns the reader of a file or folder.

    Raises:
        DiaboloError: If no reader knows its ending.
    """
    known = endings()
    if path.is_dir():
        return _reader_of_folder(path, known)
    name = path.name.lower().removesuffix(".gz")
    reader = next((r for e, r in known.items() if name.endswith(e)), None)
    if reader is None:
        raise DiaboloError(
            f"Cannot tell what '{path}' is by its ending. Known: "
            f"{', '.join(sorted(e for e in known if e != '/'))}, and folders of images, of .npy "
            "and of Parquet or Arrow files. Save any other table as CSV."
        )
    return reader


def _reader_of_folder(path: Path, known: dict[str, str]) -> str:
    """Returns the reader whose shards a folder holds, else that of folders."""
    for name in READERS.names():
        if shards(path, importlib.import_module(f"{__name__}.{name}").SHARDS):
            return name
    return known["/"]
