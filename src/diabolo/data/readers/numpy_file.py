"""NumPy files of named arrays: `.npz`, with the data under a key, the labels and splits beside.

The data are `config.key`, else X, x, data or images, else the only array; labels are
`config.labels`, else y, Y, labels or targets. `x_train`, `x_test`, `train_images` and the like
are splits. Pickled arrays are refused: reading them would run code.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ...errors import DiaboloError
from ..fetch import contents
from ..found import Array, Found, Rows
from ..keyed import from_keys
from .ask import Ask

__all__ = ["ENDINGS", "numpy_file", "refusal"]

ENDINGS = (".npz",)
OPTIONS: tuple[str, ...] = ("key", "labels", "condition")
SHARDS: tuple[str, ...] = ()
MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")


def numpy_file(path: Path, ask: Ask) -> Found:
    """Returns the arrays of a file.

    Raises:
        DiaboloError: If it is damaged or pickled, or it is not clear which array is meant.
    """
    raw = contents(path)
    pickled = raw.startswith(b"\x80")
    if not pickled and not raw.startswith(MAGIC):
        raise DiaboloError(
            f"Cannot read '{path}': it is no NumPy file, whatever its ending, or it is damaged."
        )
    try:
        file = np.load(io.BytesIO(raw), allow_pickle=False)
        if isinstance(file, np.ndarray):
            return Found(Rows(file))
        keys = list(file.keys())
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise refusal(path, error) from None

    def get(key: str) -> Array:
        try:
            return file[key]
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise refusal(path, error, key) from None

    return from_keys(keys, get, ask, str(path))


def refusal(path: Path, error: Exception, key: str = "") -> DiaboloError:
    """Returns what to say of a file that NumPy cannot read."""
    where = f"'{path}'" + (f", key '{key}'," if key else "")
    if "pickle" in str(error) or "Python objects" in str(error):
        return DiaboloError(
            f"{where} holds a pickled object, and reading it could run code: save numbers, with "
            "np.save(path, np.asarray(x, dtype=float))."
        )
    return DiaboloError(f"Cannot read {where} as a NumPy file: it is damaged or something else.")
