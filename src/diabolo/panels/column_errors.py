"""How well each column of a table is kept by the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..evaluate.drawing import reconstructed
from ._figure import BLUE, ORANGE, NotApplicable, OtherData, literal, new, tidy
from ._rows import Rows, rows
from ._run import by_name, is_pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["column_errors"]

SHOWN = 40  # columns


def column_errors(run: Run, *, split: str | None = None, of: Rows | None = None) -> Figure:
    """What is lost of each column: 0 if it comes back as it was, 1 as if nothing were known.

    Arguments:
        run: A run on data that are no pictures.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure, the worst column first.

    Raises:
        OtherData: If the data are pictures.
        NotApplicable: If the data are out of reach, or there is one row alone.
    """
    if is_pictures(run):
        raise OtherData("Errors by column are of tables.")
    found = rows(run, split=split, of=of)
    if len(found) < 2:
        raise NotApplicable("Errors by column are beside how much a column varies: over two rows.")
    x, _, mask = shown(run, found.data, len(found))
    before = by_name(run, x, mask)
    after = by_name(run, reconstructed(run.model, found.data))
    lost: list[float] = []
    kind: list[bool] = []
    told: list[str] = []
    for name, a in before.items():
        number = bool(np.issubdtype(a.dtype, np.number))
        value, words = (_number if number else _level)(a, after[name])
        if value == value:
            lost.append(value)
            kind.append(number)
            told.append(literal(f"{name[:22]}  {words}"))
    if not lost:
        raise NotApplicable("No column varies over these rows, so that there is nothing to lose.")
    order = np.argsort(-np.array(lost), kind="stable")[:SHOWN]
    few = f" The worst {SHOWN} of {len(lost)} columns." if len(lost) > SHOWN else ""
    caption = (
        f"What the code of {len(found)} data {which(run)} loses of each column. Numbers (blue): "
        "the root mean squared error of the reconstruction, divided by the standard deviation. "
        "Levels (orange): how often the level is wrong, divided by how often the most frequent one "
        f"is. 0 is perfect; from 1 on the column could as well be left out.{few}"
    )
    figure = new(6.6, 0.24 * len(order) + 1.4, "Errors by column", caption)
    ax = figure.subplots()
    places = np.arange(len(order))
    colours = [BLUE if kind[i] else ORANGE for i in order]
    ax.barh(places, [lost[i] for i in order], 0.7, color=colours)
    ax.axvline(1.0, color="#5c5c5c", lw=1, ls="--")
    tidy(ax, "lost of the column", "")
    ax.set_yticks(places, [told[i] for i in order], fontsize=8)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.grid(False, axis="y")
    return figure


def _number(a: np.ndarray, b: np.ndarray) -> tuple[float, str]:
    """Returns the error in standard deviations, NaN where the column does not vary."""
    a, b = a.astype(float), b.astype(float)
    seen = np.isfinite(a)
    spread = float(a[seen].std()) if seen.any() else 0.0
    if spread == 0:
        return np.nan, ""
    error = float(np.sqrt(np.mean((a[seen] - b[seen]) ** 2)))
    return error / spread, f"\u00b1{error:.3g}"


def _level(a: np.ndarray, b: np.ndarray) -> tuple[float, str]:
    """Returns the part of wrong levels over that of the most frequent level."""
    seen = np.array([v is not None for v in a], dtype=bool)
    a, b = a[seen].astype(str), b[seen].astype(str)
    counts = np.unique(a, return_counts=True)[1]
    if len(counts) < 2:
        return np.nan, ""
    wrong = float(np.mean(a != b))
    return wrong / (1 - counts.max() / len(a)), f"{wrong:.0%} wrong"
