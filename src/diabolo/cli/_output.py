"""Arrays into files whose format follows the extension; whole files or none.

In tables NaN is an empty cell.

Shapes: N rows, the first axis of every array.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DiaboloError

if TYPE_CHECKING:
    import pyarrow as pa

    from ._written import Written

__all__ = ["FORMATS", "destination", "kind_of", "refuse_taken", "write"]

FORMATS = (".png", ".npz", ".npy", ".csv", ".csv.gz", ".parquet", ".arrow", ".feather")


def kind_of(path: Path) -> str:
    """Returns the extension that gives a file's format, in small letters."""
    kind = path.suffix.lower()
    return "".join(path.suffixes[-2:]).lower() if kind == ".gz" else kind


def destination(path: Path, *, picture: bool = True, several: bool = False) -> None:
    """Refuses an output that cannot be written, before any work is done.

    Arguments:
        path: Where the user wants the result.
        picture: Whether the result can be shown as a picture.
        several: Whether the result is more than one array.

    Raises:
        DiaboloError: If the extension names no format, or one that cannot hold the result, or the
            file cannot be made there.
    """
    known = FORMATS if picture else FORMATS[1:]
    kind = kind_of(path)
    if kind not in known:
        got = f"'{kind}'" if kind else "no extension"
        why = " (PNG is for pictures, and this result is none)" if kind == ".png" else ""
        raise DiaboloError(
            f"The extension of --out gives the format: one of {', '.join(known)}, but got "
            f"{got} in '{path}'{why}."
        )
    if several and kind == ".npy":
        raise DiaboloError(
            f"'.npy' holds one array, but the result has several: use .npz, .csv or .parquet, not "
            f"'{path}'."
        )
    if path.is_dir():
        raise DiaboloError(f"Cannot write '{path}': it is a folder.")
    writable(path.parent)


def writable(folder: Path) -> None:
    """Refuses a folder in which nothing can be made.

    Raises:
        DiaboloError: Naming the first part of the path that stands in the way.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DiaboloError(f"Cannot write into '{folder}': '{there}' is not a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DiaboloError(f"Cannot write into '{folder}': no permission in '{there}'.")


def write(
    path: Path,
    arrays: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
    rows: Mapping[str, np.ndarray] | None = None,
    beside: Mapping[str, Any] | None = None,
    picture: Callable[[], np.ndarray] | None = None,
    written: Written | None = None,
) -> None:
    """Writes arrays or a data frame to a file in the format of its extension.

    Arguments:
        path: Checked by `destination`.
        arrays: What the result is, each with N rows; columns of a table, or one array in `.npy`.
            A data frame has its columns.
        names: Names of the columns, where there is one array and they are known.
        rows: A first column that says which datum each row of a table is of, by its title.
        beside: More arrays that only `.npz` has room for.
        picture: Makes the picture, bytes (H, W) or (H, W, 3).
        written: Of a table the file whose cells are to stay as they are written there.

    Raises:
        DiaboloError: If the format cannot hold the result, or the file cannot be written.
    """
    try:
        _write(path, arrays, names, rows or {}, beside, picture, written)
    except OSError as error:
        reason = error.strerror or str(error).rpartition("] ")[2].rstrip(".")
        raise DiaboloError(f"Cannot write '{path}': {reason}.") from None


def _write(
    path: Path,
    arrays: Mapping[str, Any],
    names: Sequence[str] | None,
    rows: Mapping[str, np.ndarray],
    beside: Mapping[str, Any] | None,
    picture: Callable[[], np.ndarray] | None,
    written: Written | None,
) -> None:
    from ..checkpoint import atomic  # brings torch, which --help has no need of

    kind = kind_of(path)
    if kind in (".npz", ".npy"):
        arrays, beside = _numbers(arrays, path), _numbers(beside or {}, path)
    plain = {k: _plain(v) for k, v in arrays.items()}
    if kind == ".npy" and len(plain) > 1:
        raise DiaboloError(
            f"'.npy' holds one array, but the result has {len(plain)} ({', '.join(plain)}): "
            "use .npz, .csv or .parquet."
        )
    with atomic(path) as part:
        if kind == ".png":
            from PIL import Image

            assert picture is not None
            Image.fromarray(picture()).save(part)
        elif kind == ".npz":
            more = {k: _plain(v) for k, v in (beside or {}).items()}
            with part.open("wb") as file:  # a path would get a second extension after .NPZ
                np.savez_compressed(file, **plain, **more)  # type: ignore[arg-type]
        elif kind == ".npy":
            with part.open("wb") as file:
                np.save(file, next(iter(plain.values())), allow_pickle=False)
        else:
            _write_table(_table({**rows, **plain}, names), part, kind, written)


def _write_table(table: pa.Table, part: Path, kind: str, written: Written | None) -> None:
    import pyarrow as pa
    from pyarrow import csv, feather, parquet

    from ._written import spelled, write_cells

    text = kind.startswith(".csv")
    if text and written is not None:
        cells = spelled(table, written)
        if cells is not None:
            with _opened(part, kind) as file:
                write_cells(cells, file)
            return
    if text:
        # Of numbers that float32 holds, these digits are all there are.
        for i, (name, kind_) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
            if kind_ == pa.float64():
                narrow = table[name].cast(pa.float32(), safe=False)
                if narrow.cast(pa.float64()).equals(table[name]):
                    table = table.set_column(i, name, narrow)
        with _opened(part, kind) as file:
            csv.write_csv(table, file)
    elif kind == ".parquet":
        parquet.write_table(table, part)
    else:
        feather.write_feather(table, str(part), compression="uncompressed")


@contextmanager
def _opened(part: Path, kind: str) -> Iterator[io.BufferedIOBase]:
    """Opens a file for a text, which is packed where its kind says so, always to the same bytes."""
    with part.open("wb") as file:
        if kind.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield packed
        else:
            yield file


def _numbers(arrays: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """Returns arrays, data frames as arrays of their numbers.

    Raises:
        DiaboloError: If a column holds no numbers.
    """
    found = {}
    for key, value in arrays.items():
        if isinstance(value, np.ndarray):
            found[key] = value
            continue
        from ..data.table import Frame, numbers_of

        try:
            found[key] = numbers_of(Frame.of(value))
        except DiaboloError:
            raise DiaboloError(
                f"'{path.suffix}' holds numbers, but this table has columns of text or dates: use "
                ".csv, .parquet or .arrow."
            ) from None
    return found


def _plain(array: Any) -> Any:
    """Strings as NumPy's own: an array of objects would be written as a pickle."""
    objects = isinstance(array, np.ndarray) and array.dtype == object
    return array.astype(str) if objects else array


def refuse_taken(names: Iterable[str], taken: Iterable[str]) -> None:
    """Refuses columns of data that are called like those that are written beside them.

    Raises:
        DiaboloError: Naming the column.
    """
    for name in names:
        if name in taken:
            raise DiaboloError(
                f"The result would have two columns '{name}', of which one tells something else: "
                "give the column of the data another name."
            )


def _table(arrays: Mapping[str, Any], names: Sequence[str] | None) -> pa.Table:
    """Returns one column for each element of a row, called by its name or `z0`, `z1`, ...

    Raises:
        DiaboloError: If a column of the data has the name of another one of the result.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {}

    def add(more: Mapping[str, Any]) -> None:
        refuse_taken(more, columns)
        columns.update(more)

    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            from ..data.table import to_arrow

            table = to_arrow(array)
            add(dict(zip(table.column_names, table.columns, strict=True)))
            continue
        if array.ndim == 1:
            add({key: pa.array(array, from_pandas=True)})
            continue
        flat = array.reshape(len(array), -1)
        if names is None or len(names) != flat.shape[1]:
            titles: Sequence[str] = [f"{key}{i}" for i in range(flat.shape[1])]
        else:
            titles = names
        add({t: pa.array(flat[:, i], from_pandas=True) for i, t in enumerate(titles)})
    return pa.table(columns)
