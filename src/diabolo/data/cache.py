"""What is decoded once and kept: an array in a file of the user's cache, with facts beside it.

An entry is named by a digest of where it comes from and how it is decoded, and by one of the
state of the files; when these change, it is decoded anew and the former entry goes. An entry
appears whole or not at all, and is checked when it is opened.

Shapes: N rows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from ..errors import DiaboloError
from .fetch import cache_folder
from .mapped import Array, Mapped, Values, pieces

__all__ = ["CacheError", "Decoded", "Writer", "decoded", "in_memory", "state_of"]

FORMAT = 1
X, FACTS = "x.npy", "facts.json"
Write = Callable[["Writer"], dict[str, Any]]


class CacheError(DiaboloError):
    """The cache cannot be written."""


class Decoded(NamedTuple):
    """What was decoded.

    Attributes:
        x: The rows (N, *).
        facts: What else is known of them.
        fresh: Whether it was decoded just now.
    """

    x: Values
    facts: dict[str, Any]
    fresh: bool = True


class Writer:
    """An array that grows block by block, in a file or in memory.

    Arguments:
        path: The `.npy` file; None keeps the blocks in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.file = None if path is None else path.open("wb")
        self.blocks: list[Array] = []
        self.clear()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.file is not None:
            self.file.close()

    def clear(self) -> None:
        """Forgets all rows."""
        self.rows, self.sum = 0, 0
        self.like: Array | None = None
        self.blocks.clear()
        if self.file is not None:
            self.file.seek(0)
            self.file.truncate()

    def append(self, block: Array) -> None:
        """Adds rows (n, *), which have the shape and type of those before."""
        block = np.ascontiguousarray(block)
        if self.like is None:
            self.like = block[:0]
            self._head()
        self.rows += len(block)
        if self.file is None:
            self.blocks.append(block)
        else:
            self.sum = zlib.crc32(block.data, self.sum)
            self.file.write(block.data)

    def _head(self) -> None:
        """Writes the header, whose length does not depend on the number of rows."""
        if self.file is not None and self.like is not None:
            self.file.seek(0)
            kind = np.lib.format.dtype_to_descr(self.like.dtype)
            shape = (self.rows, *self.like.shape[1:])
            head = {"descr": kind, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self.file, head)

    def finish(self) -> None:
        """Writes how many rows there are."""
        self._head()


def state_of(files: Sequence[Path], root: Path) -> str:
    """Returns a digest of the names, sizes and times of change of files below a folder."""
    found = hashlib.sha256()
    for path in files:
        stat = path.stat()
        name = path.relative_to(root).as_posix()
        found.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return found.hexdigest()


def decoded(source: Path, options: Mapping[str, Any], state: str, write: Write) -> Decoded:
    """Returns what is decoded of a source, from the cache if it is there.

    Arguments:
        source: The file or folder.
        options: All that decides how it is decoded, as JSON holds it.
        state: A digest that changes whenever the source does.
        write: Decodes: appends all rows, and returns facts that JSON can hold.

    Raises:
        CacheError: If the cache cannot be written.
    """
    told = json.dumps([FORMAT, str(source.resolve()), dict(options)], sort_keys=True)
    name = hashlib.sha256(told.encode()).hexdigest()[:16]
    folder = cache_folder() / "decoded"
    place = folder / f"{name}-{state[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            found = _open(place)
            if found is not None:
                return found
            part = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
            try:
                _decode(part, write)
                for former in folder.glob(f"{name}-*"):
                    shutil.rmtree(former)
                part.rename(place)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            found = _open(place)
    except OSError as error:
        raise CacheError(
            f"Cannot keep what is decoded of '{source}' in the cache '{folder}': "
            f"{error.strerror or error}. Make room, or name another folder with DIABOLO_CACHE."
        ) from None
    if found is None:
        raise CacheError(
            f"What was decoded of '{source}' cannot be read back from the cache '{folder}': name "
            "another folder with DIABOLO_CACHE."
        )
    return found._replace(fresh=True)


def in_memory(write: Write) -> Decoded:
    """Returns what is decoded of a source, in memory."""
    with Writer() as out:
        facts = write(out)
        assert out.like is not None
        return Decoded(np.concatenate(out.blocks), facts)


def _decode(part: Path, write: Write) -> None:
    with Writer(part / X) as out:
        facts = write(out)
        out.finish()
    kept = {"facts": facts, "sum": out.sum, "rows": out.rows}
    (part / FACTS).write_text(json.dumps(kept), "utf-8")


def _open(place: Path) -> Decoded | None:
    """Returns an entry; None if it is not there, or damaged."""
    try:
        kept = json.loads((place / FACTS).read_text("utf-8"))
        x = np.asarray(np.lib.format.open_memmap(place / X, mode="r"))
        found = 0
        for _, block in pieces(x):
            found = zlib.crc32(np.ascontiguousarray(block).data, found)
        if found != kept["sum"] or len(x) != kept["rows"] or not prod(x.shape):
            return None
        return Decoded(Mapped((x,)), dict(kept["facts"]), fresh=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
