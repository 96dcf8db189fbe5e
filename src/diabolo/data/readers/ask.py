"""What is asked of a reader, and the files that it finds in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config import DataConfig

__all__ = ["Ask", "shards", "without_rows"]


@dataclass(frozen=True)
class Ask:
    """What is asked of a reader.

    Arguments:
        config: How to read.
        features: The columns of a table to take as data; () for all that are nothing else.
        conditions: The columns or keys to read as conditions.
    """

    config: DataConfig
    features: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


def shards(path: Path, endings: tuple[str, ...]) -> list[Path]:
    """Returns the files of a data set, sorted by name: those of a folder, or the file itself.

    Arguments:
        path: A file, or a folder; its subfolders and hidden files are left out.
        endings: How the names of the files of a folder end.
    """
    if not path.is_dir():
        return [path]
    names = [p for p in path.iterdir() if endings and p.name.lower().endswith(endings)]
    return sorted(p for p in names if p.is_file() and not p.name.startswith((".", "_")))


def without_rows(files: Sequence[Path], kept: Sequence[Path]) -> tuple[str, ...]:
    """Returns a sentence on the files of a folder that were left out, if there are any."""
    out = [p.name for p in files if p not in set(kept)]
    if not out:
        return ()
    more = f" and {len(out) - 1} more" if len(out) > 1 else ""
    return (f"'{out[0]}'{more}: no rows, left out.",)
