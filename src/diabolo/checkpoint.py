"""Files that are either whole or absent: written beside their name, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .errors import DiaboloError

__all__ = ["atomic", "load_state", "save_state"]


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write to; at the end the file appears under its name, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers choose a format by it.
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes a training state (tensors, numbers, strings, lists, dicts) atomically."""
    with atomic(path) as part:
        torch.save(state, part)


def load_state(path: Path) -> dict[str, Any]:
    """Reads a training state; nothing in the file is run as code.

    Raises:
        DiaboloError: If the file is damaged or is no checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DiaboloError(f"Cannot read the checkpoint {path}: {error}".split("\n")[0]) from None
