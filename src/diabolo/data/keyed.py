"""Which of a file's named arrays are data, labels, conditions and splits.

Shapes: N data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import DiaboloError, unknown
from .conditions import label_column
from .found import Array, Found, Rows
from .readers.ask import Ask

__all__ = ["from_keys"]

DATA = ("X", "x", "data", "images")
LABELS = ("y", "Y", "labels", "targets")
SPLITS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}


def from_keys(keys: Sequence[str], get: Callable[[str], Array], ask: Ask, where: str) -> Found:
    """Returns what a file of named arrays holds.

    Arguments:
        keys: The names of its arrays.
        get: Returns an array by its name.
        ask: What is asked for.
        where: The file, for sentences.

    Raises:
        DiaboloError: If it is not clear which array is meant, or one is lacking.
    """
    config = ask.config
    for key in (config.key, *ask.conditions):
        if key is not None and key not in keys:
            raise unknown(f"key of '{where}'", key, keys)
    label = None if config.labels == "none" else config.labels
    if label == "labels" and label not in keys:
        label = None  # The file's own, by their usual names.
    if label is not None and label not in keys:
        raise unknown(f"key of '{where}'", label, keys)
    data = config.key or next((k for k in DATA if k in keys), None)
    if data is None:
        splits = {part: _part(keys, names) for part, names in SPLITS.items()}
        if splits["train"][0]:
            parts = {p: _rows(get, x, y) for p, (x, y) in splits.items() if x}
            return Found(parts["train"], parts.get("valid"), parts.get("test"))
        others = [k for k in keys if k not in (*LABELS, label, *ask.conditions)]
        if len(others) != 1:
            raise DiaboloError(
                f"Expected one array of data in '{where}', but its keys are "
                f"{', '.join(keys) or 'none'}: choose one with --key."
            )
        data = others[0]
    if label is None:
        label = next((k for k in LABELS if k in keys and k != data), None)
    rows = _rows(get, data, label, config.labels not in (None, "labels"))
    conditions = {k: label_column(get(k), k, len(rows.x), some=True) for k in ask.conditions}
    return Found(Rows(rows.x, rows.labels, conditions), label=config.labels or "labels")


def _part(keys: Sequence[str], names: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Returns the keys of the data and labels of a split."""

    def first(bases: tuple[str, ...]) -> str | None:
        shapes = ((f"{b}_{n}", f"{n}_{b}") for b in bases for n in names)
        return next((k for pair in shapes for k in pair if k in keys), None)

    return first(DATA), first(LABELS)


def _rows(get: Callable[[str], Array], data: str, label: str | None, asked: bool = False) -> Rows:
    x = get(data)
    if x.ndim == 0:
        raise DiaboloError(f"Expected rows under the key '{data}', but it is a single value.")
    if label is None:
        return Rows(x)
    y = get(label)
    fits = y.ndim == 1 or (y.ndim == 2 and 1 in y.shape)
    if not fits and not asked:
        return Rows(x)
    return Rows(x, label_column(y.reshape(-1) if fits else y, label, len(x), some=True))
