"""Data sets of Hugging Face's `datasets`, read as Arrow columns a slice at a time.

A column of images is decoded as a folder of images is, one column of arrays or lists is the data,
and else the columns are a table. A column of class labels is the labels. What is large, and lies
in files, is decoded once to the user's cache.

Shapes: N rows.

References:
    | https://huggingface.co/docs/datasets
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..config import DataConfig
from ..errors import DiaboloError, unknown
from .cache import Writer, decoded, in_memory
from .found import Array, Found, Rows, Values
from .mapped import BLOCK, Mapped, mapping, size_of
from .memory import from_frame
from .readers.images import AT_ONCE, SPLITS, WORTH_FILES, Head, fit_size, read_head, read_pixels
from .table import need_columns

__all__ = ["column_names", "from_dataset", "is_dataset"]


def is_dataset(value: Any) -> bool:
    """Whether this is a data set, or a dictionary of them, of the package `datasets`."""
    package = sys.modules.get("datasets")  # loaded already where the value is of it
    return package is not None and isinstance(
        value,
        (
            package.Dataset,
            package.DatasetDict,
            package.IterableDataset,
            package.IterableDatasetDict,
        ),
    )


def column_names(value: Any) -> tuple[str, ...]:
    """Returns the names of the columns of a data set, or of the first of several."""
    return tuple(next(iter(_parts(value).values())).column_names)


def from_dataset(
    value: Any,
    config: DataConfig,
    *,
    columns: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (),
) -> Found:
    """Returns what is in a data set.

    Arguments:
        value: A `Dataset`, or a `DatasetDict` of `train` and, if any, `validation` and `test`.
        config: How to read it: `labels`, `size`, `color`, `memory`.
        columns: The features to take of a table; () for all that are nothing else.
        conditions: The columns of conditions.

    Raises:
        DiaboloError: If a column is lacking or of a kind that is no data, or an image cannot be
            read.
    """
    every = {name: _one(part, config, columns, conditions) for name, part in _parts(value).items()}
    found = every.get("train") or next(iter(every.values()))
    return replace(
        found,
        valid=every["valid"].train if "valid" in every else None,
        test=every["test"].train if "test" in every else None,
    )


def _parts(value: Any) -> dict[str, Any]:
    package = sys.modules["datasets"]
    if isinstance(value, (package.IterableDataset, package.IterableDatasetDict)):
        raise DiaboloError(
            "A streamed data set has no rows to draw from: load it without streaming=True."
        )
    if not isinstance(value, package.DatasetDict):
        return {"train": value}
    parts = {}
    for name, part in value.items():
        if name not in SPLITS or SPLITS[name] in parts:
            raise DiaboloError(
                f"Expected the splits train, validation and test, but got {', '.join(value)}: pass "
                f"one, data['{name}'], or name them so."
            )
        parts[SPLITS[name]] = part
    if "train" not in parts:
        raise DiaboloError(
            f"Expected a split 'train', but got {', '.join(value) or 'none'}: pass one data set."
        )
    return parts


def _one(
    data: Any, config: DataConfig, columns: tuple[str, ...], conditions: tuple[str, ...]
) -> Found:
    package = sys.modules["datasets"]
    kinds = data.features
    asked = None if config.labels in (None, "none", "labels") else config.labels
    classes = [n for n, k in kinds.items() if isinstance(k, package.ClassLabel)]
    label = asked or next((n for n in classes if n not in conditions), None)
    need_columns(columns, tuple(kinds))
    for name in () if columns else (*([asked] if asked else []), *conditions):
        if name not in kinds:
            raise unknown("column", name, tuple(kinds))
    if not len(data):
        raise DiaboloError("Expected at least one row, but the data set is empty.")
    aside = [n for n in dict.fromkeys((*([label] if label else []), *conditions)) if n in kinds]
    wanted = [n for n in aside if n in conditions or config.labels != "none"]
    extra = {name: _plain(data, name) for name in wanted}
    labels = None if label is None else extra.get(label)
    rest = [n for n in (columns or tuple(kinds)) if n not in aside]
    images = [n for n in rest if isinstance(kinds[n], package.Image)]
    found: Found
    if len(images) == 1:
        found = _images(data, images[0], config)
        others = [n for n in rest if n not in images]
        if others:
            found = replace(
                found, notes=(*found.notes, f"Beside the images left out: {', '.join(others)}.")
            )
    elif len(rest) == 1 and not isinstance(kinds[rest[0]], package.Value):
        found = _arrays(data, rest[0], config)
    else:
        for name in rest:
            if not isinstance(kinds[name], package.Value | package.ClassLabel):
                raise DiaboloError(
                    f"Expected columns of numbers, one of arrays or one of images, but got "
                    f"{', '.join(rest)}, of which '{name}' is {type(kinds[name]).__name__}: choose "
                    "with data.select_columns([...])."
                )
        table = data.select_columns(rest).with_format("arrow")[:]
        plain = table.replace_schema_metadata(None)
        found = from_frame(plain, columns=columns, library="file")
    named = kinds[label].names if label in classes and label in kinds else ()
    return replace(
        found,
        train=replace(
            found.train, labels=labels, conditions={n: extra[n] for n in conditions if n in extra}
        ),
        classes=tuple(named) if labels is not None else (),
        label=label or "labels",
    )


def _plain(data: Any, name: str) -> Array:
    """Returns a column (N,); of class labels their names."""
    column = data.select_columns([name]).with_format("arrow")[:].column(name)
    values = column.to_numpy()
    kind = data.features[name]
    if not isinstance(kind, sys.modules["datasets"].ClassLabel):
        return values
    if column.null_count or (values < 0).any():
        row = next(i for i, v in enumerate(column.to_pylist()) if v is None or v < 0)
        raise DiaboloError(
            f"'{name}' has no value in row {row}: remove those rows, or say labels='none'."
        )
    return np.array(kind.names)[values.astype(np.int64)]


def _slices(data: Any, name: str, rows: int) -> Iterator[pa.Array]:
    """Yields a column, so many rows at a time."""
    table = data.select_columns([name]).with_format("arrow")
    for first in range(0, len(data), rows):
        yield table[first : first + rows].column(name).combine_chunks()


def _cached(
    data: Any, options: dict[str, Any], large: bool, write: Callable[[Writer], dict[str, Any]]
) -> tuple[Values, dict[str, Any]]:
    """Returns what is decoded, from the cache if it is large and lies in files."""
    if not (large and data.cache_files):
        found = in_memory(write)
    else:
        # The fingerprint tells the rows, and what was done to them.
        told = {**options, "dataset": data._fingerprint}
        found = decoded(Path(data.cache_files[0]["filename"]), told, "0", write)
    return found.x, found.facts


def _arrays(data: Any, name: str, config: DataConfig) -> Found:
    """Returns a column of arrays or lists of numbers, all of one shape."""
    first, _ = _dense(next(_slices(data, name, 1)), name, 0)
    size = first.itemsize * prod(first.shape[1:])
    rows = max(1, BLOCK // size)

    def write(out: Writer) -> dict[str, Any]:
        shape, before = first.shape[1:], 0
        for block in _slices(data, name, rows):
            x, ragged = _dense(block, name, before)
            if ragged or x.shape[1:] != shape:
                raise DiaboloError(
                    f"Expected rows of one shape in column '{name}', {shape} as the first, but "
                    f"others begin between rows {before} and {before + len(block) - 1}."
                )
            out.append(x.astype(first.dtype, copy=False))
            before += len(block)
        return {}

    x, _ = _cached(data, {"column": name}, mapping(config.memory, size * len(data)), write)
    return Found(Rows(x))


def _dense(column: Any, name: str, before: int) -> tuple[Array, bool]:
    """Returns an array of (nested) lists as numbers (n, *), and whether they are ragged."""
    shape = [len(column)]
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    nested = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    while any(test(column.type) for test in nested):
        if column.null_count:
            raise DiaboloError(
                f"Column '{name}' has no value in a row from {before} on: remove those rows."
            )
        count = len(column)
        widths = set(column.value_lengths().unique().to_pylist())
        if len(widths) > 1:
            return np.empty((len(shape), 0)), True
        column = column.flatten()
        shape.append(len(column) // max(1, count))
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DiaboloError(f"Column '{name}' holds {kind} and no numbers: choose another.")
    if column.null_count and not pa.types.is_floating(kind):
        raise DiaboloError(
            f"Column '{name}' has missing values among whole numbers: make floats of them, or fill "
            "them in."
        )
    return column.to_numpy(zero_copy_only=False).reshape(shape), False


def _images(data: Any, name: str, config: DataConfig) -> Found:
    """Returns a column of images, brought to one size as those of a folder are."""

    def each(pool: ThreadPoolExecutor, read: Callable[[Any], Any]) -> Iterator[Any]:
        for block in _slices(data, name, AT_ONCE):
            yield from pool.map(read, map(_file, block.to_pylist()))

    def write(out: Writer) -> dict[str, Any]:
        heads: list[Head] = []
        with ThreadPoolExecutor() as pool:
            for head in each(pool, read_head):
                if not isinstance(head, Head):
                    raise _unreadable(name, len(heads), head)
                heads.append(head)
            size, notes = fit_size(heads, config.size)
            colored = Counter(h.color for h in heads)[True]
            color = config.color == "rgb" or (config.color == "auto" and colored > 0)
            if color and 0 < colored < len(heads):
                notes.append(
                    f"{len(heads) - colored} of {len(heads)} images are grey: all are read as RGB."
                )
            for row, x in enumerate(each(pool, partial(read_pixels, size=size, color=color))):
                if not isinstance(x, np.ndarray):
                    raise _unreadable(name, row, x)
                out.append(x[None])
        return {"color": color, "notes": notes}

    size = [config.size] * 2 if isinstance(config.size, int) else config.size
    options = {"column": name, "size": size, "color": config.color}
    large = config.memory == "mapped" or len(data) >= WORTH_FILES
    x, facts = _cached(data, options, large, write)
    if isinstance(x, Mapped) and not mapping(config.memory, size_of(x)):
        x = x.gather(np.arange(len(x)))
    return Found(
        Rows(x),
        layout="hwc" if facts["color"] else "hw",
        support="byte",
        notes=tuple(facts["notes"]),
    )


def _file(image: dict[str, Any] | None) -> Any:
    """Returns what an image is read from."""
    if image is None:
        return io.BytesIO()
    return Path(image["path"]) if image["bytes"] is None else io.BytesIO(image["bytes"])


def _unreadable(name: str, row: int, reason: str) -> DiaboloError:
    return DiaboloError(
        f"The image in row {row}, column '{name}', cannot be read ({reason}): remove the row."
    )
