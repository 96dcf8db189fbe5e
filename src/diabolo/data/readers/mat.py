"""MATLAB files up to version 7.2: arrays by key, as in `.npz` files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from ...errors import DiaboloError
from ..fetch import contents
from ..found import Array, Found
from ..keyed import from_keys
from .ask import Ask

__all__ = ["ENDINGS", "mat"]

ENDINGS = (".mat",)
OPTIONS: tuple[str, ...] = ("key", "labels", "condition")
SHARDS: tuple[str, ...] = ()


def mat(path: Path, ask: Ask) -> Found:
    """Returns the arrays of a file; rows are the first axis.

    Raises:
        DiaboloError: If it is damaged or of version 7.3, or it is not clear which array is meant.
    """
    try:
        file: dict[str, Any] = scipy.io.loadmat(io.BytesIO(contents(path)))
    except NotImplementedError:
        raise DiaboloError(
            f"'{path}' is a MATLAB 7.3 file, which is HDF5: save it with '-v7' in MATLAB."
        ) from None
    except Exception:  # scipy lets parser errors of many types through.
        raise DiaboloError(f"Cannot read '{path}' as a MATLAB file: it is damaged.") from None

    def get(key: str) -> Array:
        value = file[key]
        return value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)

    keys = [k for k, v in file.items() if not k.startswith("__") and _plain(v)]
    return from_keys(keys, get, ask, str(path))


def _plain(value: Any) -> bool:
    return scipy.sparse.issparse(value) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "biufU"
    )
