"""Files that are either whole or absent, and the states of a training, verified when they are read.

A file is written beside its name, synced and renamed, and then the folder is synced. A state
carries the SHA-256 of its content; its predecessor is kept, so that a file that the disk spoiled
costs one interval of training and never all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import torch

from .errors import DiaboloError

__all__ = ["atomic", "former", "load_state", "save_state", "states", "verify"]

MAGIC = b"diabolo state 1\n"
DIGEST = hashlib.sha256().digest_size  # bytes at the end of a state
CHUNK = 1 << 20


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write to; at the end the file appears under its name, or not at all."""
    with _beside(path) as part:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync(path.parent)


def former(path: Path) -> Path:
    """Returns where the predecessor of a state lies."""
    return path.with_name(f"{path.stem}.former{path.suffix}")


def states(path: Path) -> list[Path]:
    """Returns the states that lie under a name, the newest first, whether sound or not."""
    return [p for p in (path, former(path)) if p.is_file()]


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes a training state (tensors, numbers, strings, lists, dicts) and keeps the one before.

    At each moment one whole state at least lies under one of the two names.

    Raises:
        DiaboloError: If it cannot be written; the states that were there are there still.
    """
    try:
        with _beside(path) as part:
            with part.open("wb") as file:
                writer = _Digesting(file)
                writer.write(MAGIC)
                writer.save(state)
                file.write(writer.found.digest())
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.replace(path, former(path))
            os.replace(part, path)
            _sync(path.parent)
    except OSError as error:
        raise DiaboloError(
            f"Cannot write the checkpoint {path}: {error.strerror or error}."
        ) from None


def verify(path: Path) -> None:
    """Reads a state from end to end and compares its checksum.

    Raises:
        DiaboloError: If it cannot be read, is no checkpoint, or is not as it was written.
    """
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - DIGEST
            found = hashlib.sha256()
            start = file.read(len(MAGIC))
            found.update(start)
            left -= len(start)
            while left > 0 and (chunk := file.read(min(left, CHUNK))):
                found.update(chunk)
                left -= len(chunk)
            kept = file.read(DIGEST)
    except OSError as error:
        raise DiaboloError(f"Cannot read the checkpoint {path}: {error.strerror}.") from None
    if not start:
        raise DiaboloError(f"The checkpoint {path} is damaged: it is empty.")
    if start != MAGIC:
        raise DiaboloError(f"{path} is no checkpoint that this diabolo reads, or it is damaged.")
    if kept != found.digest():
        raise DiaboloError(
            f"The checkpoint {path} is damaged: it was cut short or changed after it was written."
        )


def load_state(path: Path) -> dict[str, Any]:
    """Reads a training state; nothing in the file is run as code.

    Raises:
        DiaboloError: If the file is damaged or is no checkpoint.
    """
    verify(path)
    content = io.BytesIO(memoryview(path.read_bytes())[len(MAGIC) : -DIGEST])
    try:
        return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DiaboloError(f"Cannot read the checkpoint {path}: {error}".split("\n")[0]) from None


class _Digesting:
    """A file that is written once from its beginning, with the digest of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.found = hashlib.sha256()
        self.error: OSError | None = None

    def save(self, state: dict[str, Any]) -> None:
        try:
            torch.save(state, cast("IO[bytes]", self))
        except RuntimeError:  # torch writes on after a full disk, and then speaks of positions
            if self.error is not None:
                raise self.error from None
            raise

    def write(self, part: bytes) -> int:
        self.found.update(part)
        try:
            return self.file.write(part)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yields a name beside a file, at which nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers choose a format by it.
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Makes the names in a folder outlive a loss of power, where the system can."""
    if os.name != "posix":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
