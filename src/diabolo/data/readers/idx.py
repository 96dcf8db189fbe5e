"""IDX files, the format of MNIST: a header with type and shape, then big-endian values.

Labels are taken from the file beside: `train-images-idx3-ubyte` has `train-labels-idx1-ubyte`.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from ...errors import DiaboloError
from ..fetch import contents
from ..found import Array, Found, Rows
from .ask import Ask

__all__ = ["ENDINGS", "idx", "parse_idx"]

ENDINGS = ("-ubyte", ".idx", ".idx1", ".idx3", "-idx3", "-idx1")
OPTIONS: tuple[str, ...] = ()
SHARDS: tuple[str, ...] = ()
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(raw: bytes, name: str) -> Array:
    """Returns the array of an IDX file.

    Raises:
        DiaboloError: If the bytes are no IDX, or too few.
    """
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES or not raw[3]:
        raise DiaboloError(f"'{name}' is no IDX file: it does not begin with an IDX header.")
    dtype, axes = np.dtype(TYPES[raw[2]]), raw[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", raw[4:start]) if len(raw) >= start else (1 << 62,)
    if len(raw) - start != prod(shape) * dtype.itemsize:
        raise DiaboloError(f"'{name}' is damaged: its length does not fit its header.")
    array = np.frombuffer(raw, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def idx(path: Path, ask: Ask) -> Found:
    """Returns the array of a file, with the labels beside it."""
    x = parse_idx(contents(path), str(path))
    rows = Rows(x)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside != path and ask.config.labels in (None, "labels"):
        stem = beside.name.removesuffix(".gz")
        found = [p for p in (beside, beside.with_name(stem), beside.with_name(stem + ".gz"))]
        there = next((p for p in found if p.is_file()), None)
        if there is not None:
            rows = replace(rows, labels=parse_idx(contents(there), str(there)))
    return Found(rows, layout="hw" if x.ndim == 3 else None)
