"""What the model makes up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..evaluate.drawing import drawn
from ._figure import BLUE, ORANGE, NotApplicable, by_column, literal, new, picture, short, tidy
from ._images import grid, size_note
from ._run import by_name, held_out, is_pictures, pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..run import Run

__all__ = ["samples"]

DRAWS = 2000  # draws for histograms
MOST = 40  # bins of a histogram
LEVELS = 8  # of a category, the most frequent ones


def samples(run: Run, *, rows: int = 8, columns: int = 8, seed: int = 0) -> Figure:
    """Draws of the prior, decoded: pictures as a grid, tables as histograms beside the data's.

    Pictures come twice, as draws of p(x|z) and as its means at the same z. A model that is
    conditional on a class shows one class a row.

    Arguments:
        run: A run with a prior.
        rows: Rows of the grid.
        columns: Columns of the grid.
        seed: The seed of the draws, which are those of `Run.sample`.

    Returns:
        The figure.

    Raises:
        NotApplicable: If the model has no prior: there is no density of codes to draw from.
    """
    if not run.model.generates:
        raise NotApplicable(
            "An autoencoder has no prior, so there is nothing to draw samples from: fit one to its "
            "codes with refit."
        )
    if not is_pictures(run):
        return _table(run, seed)
    c, names = _conditions(run, rows, columns)
    n = rows * columns if c is None else len(c)
    draws, means = (
        pictures(run, run.schema.array(drawn(run.model, n, c, mean=mean, seed=seed)))
        for mean in (False, True)
    )
    given = "" if c is None else " given c"
    caption = (
        f"{n} codes drawn from the prior{given} (seed {seed}). Left: one draw of x from p(x|z) "
        "for each, as the model is defined. Right: the mean of p(x|z) at the same codes."
    )
    if names:
        every = len(held_out(run).classes)
        few = f": {len(names)} of the {every} classes" if len(names) < every else ""
        caption += f" One class a row{few}."
    caption += size_note(means)
    lines = math.ceil(n / columns)
    height = 4.7 * lines / columns * draws.shape[1] / draws.shape[2] + 1.0
    figure = new(9.6, height, f"Samples of the prior{given}", caption)
    for ax, x, title in zip(figure.subplots(1, 2), (draws, means), ("draws", "means"), strict=True):
        page = grid(x, columns)
        picture(ax, page)
        ax.set_title(title, fontsize=10)
        if names:
            step = page.shape[0] / len(names)
            ax.set_yticks(
                [(i + 0.5) * step for i in range(len(names))], [*map(literal, names)], fontsize=9
            )
            ax.tick_params(length=0)
    return figure


def _conditions(run: Run, rows: int, columns: int) -> tuple[Tensor | None, list[str]]:
    """Returns conditions for a grid, and the names of its rows where these are classes."""
    if not run.model.condition:
        return None, []
    data = held_out(run)
    assert data.c is not None
    if data.labels is None or not data.classes:
        return data.c[: rows * columns], []
    if [c.name for c in run.schema.conditions] == [run.schema.label]:  # the label is all it reads
        few = list(data.classes[: max(rows, 10)])
        return run.schema.condition(few).repeat_interleave(columns, 0), few
    values = torch.unique(data.labels)[: max(rows, 10)].tolist()
    first = [int((data.labels == v).nonzero()[0]) for v in values]
    c = data.c[first].repeat_interleave(columns, 0)
    return c, [data.classes[int(v)] for v in values]


def _table(run: Run, seed: int) -> Figure:
    data = held_out(run)
    x, c, mask = shown(run, data, DRAWS)
    real = by_name(run, x, mask)
    if c is not None:  # as many draws, with the conditions of the data over and over
        c = c.repeat(math.ceil(DRAWS / len(c)), 1)[:DRAWS]
    made = by_name(run, drawn(run.model, DRAWS, c, seed=seed))
    real = {name: x for name, x in real.items() if _some(x) or _some(made[name])}
    caption = (
        f"{DRAWS} draws of the model (seed {seed}) beside {len(x)} data {which(run)}, as densities."
    )
    figure, axes = by_column(list(real), 2.1, "Samples of the prior, by column", caption)
    for name, ax in zip(real, axes, strict=False):
        _histograms(ax, real[name], made[name], name)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def _some(values: np.ndarray) -> bool:
    """Whether a column has any value: one that had none in training is put back without."""
    return bool(np.any([v is not None and v == v for v in values]))


def _histograms(ax: Axes, real: np.ndarray, drawn: np.ndarray, name: str) -> None:
    tidy(ax, literal(name), "")
    ax.set_yticks([])
    if not np.issubdtype(real.dtype, np.number):
        real, drawn = (a[[v is not None for v in a]] for a in (real, drawn))
        values, counts = np.unique(real.astype(str), return_counts=True)
        often = np.argsort(-counts, kind="stable")[:LEVELS]
        chosen = values[often].tolist()
        for shift, x, colour, label in (
            (-0.2, real, BLUE, "data"),
            (0.2, drawn, ORANGE, "samples"),
        ):
            share = [np.mean(x.astype(str) == value) for value in chosen]
            ax.bar(np.arange(len(chosen)) + shift, share, 0.4, color=colour, label=label)
        names = [literal(short(v, 12)) for v in chosen]
        ax.set_xticks(range(len(chosen)), names, fontsize=6, rotation=40, ha="right")
        if len(often) < len(values):
            ax.set_xlabel(f"{literal(name)} ({len(often)} of {len(values)} levels)", fontsize=9.5)
        return
    real, drawn = (a[np.isfinite(a)] for a in (real.astype(float), drawn.astype(float)))
    edges = _edges(real, drawn).tolist()
    some = len(real) > 0  # of a column that is mostly missing, held-out rows may have none
    ax.hist(real, edges, density=some, color=BLUE, alpha=0.45, label="data")
    ax.hist(drawn, edges, density=True, histtype="step", color=ORANGE, lw=1.4, label="samples")


def _edges(real: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns the edges of bins; where data are whole numbers, each bin holds as many of them."""
    ends = [np.quantile(a, [0.002, 0.998]) for a in (real, drawn) if len(a)]
    low, high = np.min(ends), np.max(ends)
    if len(real) and (real == real.round()).all() and np.abs(real).max() < 2**53:
        values = np.unique(real)
        step = max(1, np.gcd.reduce(np.diff(values).astype(np.int64)))
        first = values[0] + step * round((low - values[0]) / step)
        count = 1 + round((high - first) / step)
        width = step * math.ceil(count / MOST)
        return first - step / 2 + width * np.arange(math.ceil(count * step / width) + 1)
    bins = int(np.clip(2 * math.sqrt(len(real)), 6, MOST))
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)
