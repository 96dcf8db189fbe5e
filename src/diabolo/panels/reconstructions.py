"""Held-out data beside what the model makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._figure import BLUE, bare, by_column, new, tidy
from ._images import grid, size_note
from ._run import held_out, is_pictures, measured, pictures, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data import Data
    from ..run import Run

__all__ = ["reconstructions"]


def reconstructions(run: Run, *, n: int = 40, split: str | None = None) -> Figure:
    """Each original with its reconstruction, the mean of p(x|z) at the encoder's mean.

    Arguments:
        run: A run whose data can be read.
        n: How many pictures to show.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.

    Returns:
        The figure: pictures in pairs of rows, columns of a table as points.

    Raises:
        NotApplicable: If the data are out of reach.
    """
    data = held_out(run, split)
    if not is_pictures(run):
        return _table(run, data)
    x, again = _pair(run, data, n)
    error = np.sqrt(np.mean((x - again) ** 2))
    columns = min(10, len(x))
    rows = math.ceil(len(x) / columns)
    caption = (
        f"{len(x)} data that were not trained on: the original above, what its code decodes to "
        "below (the mean of p(x|z) at the encoder's mean). Root mean squared error of these "
        f"{error:.3f} on a scale of 0 to 1.{size_note(x)}"
    )
    figure = new(7.4, 1.45 * rows * x.shape[1] / x.shape[2] + 0.9, "Reconstructions", caption)
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for i, ax in enumerate(axes):
        some = slice(i * columns, (i + 1) * columns)
        blank = np.ones((columns - len(x[some]), *x.shape[1:]))
        pairs = np.concatenate([x[some], blank, again[some], blank])
        page = grid(pairs, columns)
        ax.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        bare(ax)
        ax.set_yticks(
            [page.shape[0] / 4, page.shape[0] * 3 / 4], ["original", "decoded"], fontsize=8
        )
        ax.tick_params(length=0)
    return figure


def _both(run: Run, data: Data, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns n data and their reconstructions, as the user knows them."""
    # Spread over the data, which may be sorted by class.
    few = data.take(torch.linspace(0, len(data) - 1, min(n, len(data))).long())
    x, _, _ = shown(run, few, n)
    return run.schema.restore(x.cpu()), run.reconstruct(measured(run, few))


def _pair(run: Run, data: Data, n: int) -> tuple[np.ndarray, np.ndarray]:
    x, again = _both(run, data, n)
    return pictures(run, x), pictures(run, again, like=x)


def _table(run: Run, data: Data) -> Figure:
    x, again = (a.reshape(len(a), -1) for a in _both(run, data, 1000))
    names = run.schema.columns or [f"x{i}" for i in range(x.shape[1])]
    caption = (
        f"{len(x)} data that were not trained on: the value across, its reconstruction up (the "
        "mean of p(x|z) at the encoder's mean); on the line it is exact."
    )
    figure, axes = by_column(names, 2.5, "Reconstructions, by column", caption)
    left = min(ax.get_position().x0 for ax in axes)
    for j, ax in enumerate(axes):
        if not np.issubdtype(x.dtype, np.number):
            ax.set_visible(False)
            continue
        tidy(ax, str(names[j]), "reconstruction" if ax.get_position().x0 == left else "")
        ax.axline((float(np.nanmean(x[:, j])),) * 2, slope=1, color="#bbbbbb", lw=1)
        size = float(np.clip(3000 / len(x), 5, 20))
        ax.scatter(x[:, j], again[:, j], s=size, color=BLUE, alpha=0.6, linewidths=0)
        seen = np.concatenate([x[:, j], again[:, j]])
        low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
        edge = 0.05 * (high - low) or 1.0
        ax.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge))
    return figure
