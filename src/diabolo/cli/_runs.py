"""What verbs that use a finished run share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiaboloError
from ._options import parse_value

if TYPE_CHECKING:
    import numpy as np

    from ..data import Data
    from ..run import Run

__all__ = [
    "data_of",
    "first",
    "label_value",
    "open_run",
    "picture_of",
    "row",
    "rows_of",
    "shows_pictures",
]


def open_run(folder: Path) -> Run:
    """Returns the run in a folder.

    Raises:
        DiaboloError: If there is none, or it is damaged.
    """
    from ..run import load

    return load(folder)


def data_of(run: Run, source: str | None, labels: str | None = None) -> Data:
    """Returns the data in a file, read as the run's own; without one the run's held-out data.

    Raises:
        DiaboloError: If they cannot be read, or are not like those fitted.
    """
    from ..data import read
    from ..run.asked import held_out, refuse_labels

    if source is not None:
        if labels is not None:
            refuse_labels(run)
        return read(source, run.schema, config=run.config.data, labels=labels)
    if labels is not None:
        raise DiaboloError("--labels says where the labels of DATA are: name DATA too.")
    return held_out(run)[1]


def rows_of(data: Data) -> dict[str, np.ndarray]:
    """Returns which datum each row is of: `file` for images of a folder, else `row` from 0."""
    import numpy as np

    if data.names is not None:
        return {"file": np.array(data.names)}
    return {"row": data.rows.cpu().numpy()}


def first(data: Data, rows: int) -> Data:
    """Returns the first data.

    Raises:
        DiaboloError: If there are not so many.
    """
    import torch

    if not 1 <= rows <= len(data):
        raise DiaboloError(f"--rows is 1 to {len(data)}, as many as there are, but got {rows}.")
    return data.take(torch.arange(rows))


def row(data: Data, index: int, flag: str) -> Data:
    """Returns one datum.

    Raises:
        DiaboloError: If there is none at that position.
    """
    import torch

    if not 0 <= index < len(data):
        raise DiaboloError(f"{flag} must lie in 0 to {len(data) - 1}, but got {index}.")
    return data.take(torch.tensor([index]))


def shows_pictures(run: Run) -> bool:
    """Whether one datum of the run is a picture."""
    from ..panels._run import is_pictures

    return is_pictures(run)


def picture_of(run: Run, x: np.ndarray, columns: int | None = None) -> Callable[[], np.ndarray]:
    """Returns what makes a grid of pictures, bytes (H, W) or (H, W, 3)."""
    from ..panels._images import grid, to_bytes
    from ..panels._run import pictures

    return lambda: to_bytes(grid(pictures(run, x), columns))


def label_value(text: str | None, classes: tuple[str, ...]) -> Any:
    """Returns a label as the run knows it: a class by its name, else a number."""
    return text if text is None or text in classes else parse_value(text)
