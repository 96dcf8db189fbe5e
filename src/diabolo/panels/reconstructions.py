"""Held-out data beside what the model makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..evaluate.drawing import reconstructed
from ._figure import BLUE, by_column, literal, new, picture, short, tidy
from ._images import grid, size_note
from ._run import by_name, held_out, is_pictures, measured, pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
        f"{len(x)} data {which(run)}: the original above, what its code decodes to "
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
        picture(ax, page)
        ax.set_yticks(
            [page.shape[0] / 4, page.shape[0] * 3 / 4], ["original", "decoded"], fontsize=8
        )
        ax.tick_params(length=0)
    return figure


def _few(data: Data, n: int) -> Data:
    """Returns n data, spread over all of them, which may be sorted by class."""
    return data.take(torch.linspace(0, len(data) - 1, min(n, len(data))).long())


def _pair(run: Run, data: Data, n: int) -> tuple[np.ndarray, np.ndarray]:
    few = _few(data, n)
    x = run.schema.array(shown(run, few, n)[0].cpu())
    again = run.reconstruct(measured(run, few))
    return pictures(run, x), pictures(run, again, like=x)


def _table(run: Run, data: Data) -> Figure:
    few = _few(data, 1000)
    x, _, mask = shown(run, few, len(few))
    before = by_name(run, x, mask)
    after = by_name(run, reconstructed(run.model, measured(run, few)))
    caption = (
        f"{len(x)} data {which(run)}: the value across, its reconstruction up (the "
        "mean of p(x|z) at the encoder's mean); on the line it is exact. Of levels: how often each "
        "(across) becomes which (up), dark for always."
    )
    figure, axes = by_column(list(before), 2.5, "Reconstructions, by column", caption)
    left = min(ax.get_position().x0 for ax in axes)
    for name, ax in zip(before, axes, strict=False):
        x, again = before[name], after[name]
        tidy(ax, literal(name), "reconstruction" if ax.get_position().x0 == left else "")
        if np.issubdtype(x.dtype, np.number):
            _points(ax, x.astype(float), again.astype(float))
        else:
            _levels(ax, x, again)
    return figure


def _points(ax: Axes, x: np.ndarray, again: np.ndarray) -> None:
    seen = np.isfinite(x)
    x, again = x[seen], again[seen]
    if not len(x):
        return
    ax.axline((float(x.mean()),) * 2, slope=1, color="#bbbbbb", lw=1)
    size = float(np.clip(3000 / len(x), 5, 20))
    ax.scatter(x, again, s=size, color=BLUE, alpha=0.6, linewidths=0)
    both = np.concatenate([x, again])
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    edge = 0.05 * (high - low) or 1.0
    ax.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge))


def _levels(ax: Axes, x: np.ndarray, again: np.ndarray) -> None:
    seen = np.array([v is not None for v in x], dtype=bool)
    x, again = x[seen].astype(str), again[seen].astype(str)
    values = sorted({*x.tolist(), *again.tolist()})
    share = np.zeros((len(values), len(values)))
    np.add.at(share, (np.searchsorted(values, again), np.searchsorted(values, x)), 1.0)
    share /= np.maximum(share.sum(0), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, origin="lower", aspect="auto")
    few = len(values) <= 8
    names = [literal(short(v, 8)) for v in values] if few else []
    ticks = range(len(values)) if few else []
    ax.set_xticks(ticks, names, fontsize=6, rotation=40, ha="right")
    ax.set_yticks(ticks, names, fontsize=6)
    ax.grid(False)
