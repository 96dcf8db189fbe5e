"""How much pairs of columns depend on each other, in data and in samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..tasks.synthesis.fidelity import dependence as pairs
from ._figure import NotApplicable, literal, new, tidy
from ._rows import Rows
from ._run import which
from .marginals import coded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["dependence"]

SHOWN = 20  # columns


def dependence(
    run: Run, *, seed: int = 0, split: str | None = None, of: Rows | None = None
) -> Figure:
    """The dependence of each pair of columns, in data, in samples, and by how much they differ.

    Arguments:
        run: A run that was fitted to a table of two columns or more, with a prior.
        seed: Keys the draws.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; dependence in [0, 1].

    Raises:
        OtherData: If the run is none of a table.
        NotApplicable: If no pair is known, the model has no prior, or the data are out of reach.
    """
    real, made, learned = coded(run, seed, split, of)
    data, samples = pairs(real), pairs(made)
    gap = np.abs(data - samples)
    if not np.isfinite(gap).any():
        raise NotApplicable("No pair of columns has enough rows in which both were seen.")
    caption = (
        f"How much each two columns depend on each other, 0 for not at all and 1 for wholly, in "
        f"{len(real)} data {which(run)} and in {len(made)} draws: rank correlation of numbers, "
        "correlation ratio of a number given levels, Cramer's V of levels. They differ by "
        f"{np.nanmean(gap):.3f} on average"
    )
    if learned is not None:
        caption += (
            f", where training rows differ by {np.nanmean(np.abs(data - pairs(learned))):.3f}"
        )
    d = len(data)
    kept = min(d, SHOWN)
    few = f" The first {kept} of {d} columns." if kept < d else ""
    figure = new(9.6, 4.6, "Pairs of columns in data and samples", f"{caption}.{few}")
    axes = figure.subplots(1, 3)
    names = [literal(n[:12]) for n in real.names[:kept]]
    shown = (("data", data), ("samples", samples), ("difference", gap))
    for i, (ax, (title, values)) in enumerate(zip(axes, shown, strict=True)):
        image = ax.imshow(values[:kept, :kept], cmap="Blues", vmin=0, vmax=1)
        tidy(ax, "", "")
        ax.grid(False)
        ax.set_title(title, fontsize=9.5, loc="left")
        ax.set_xticks(range(kept), names, fontsize=6.5, rotation=90)
        ax.set_yticks(range(kept), names if i == 0 else [""] * kept, fontsize=6.5)
    bar = figure.colorbar(image, ax=axes.tolist(), shrink=0.6, aspect=25)
    bar.ax.tick_params(labelsize=7)
    return figure
