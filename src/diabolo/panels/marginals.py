"""How far each column of synthetic rows is from that of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..tasks.synthesis.coded import Coded, holes_of
from ..tasks.synthesis.fidelity import marginals as distances
from ..tasks.synthesis.synthesize import coded_draws, coded_rows
from ._figure import BLUE, GREY, NotApplicable, OtherData, literal, new, tidy
from ._rows import Rows, rows
from ._run import held_out, which

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["coded", "marginals"]

MOST = 5000  # rows that are compared
SHOWN = 40  # columns


def marginals(
    run: Run, *, seed: int = 0, split: str | None = None, of: Rows | None = None
) -> Figure:
    """The distance of each column of samples from data, beside that of training rows.

    Arguments:
        run: A run that was fitted to a table, with a prior.
        seed: Keys the draws.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; distances in [0, 1], the worst column first.

    Raises:
        OtherData: If the run is none of a table.
        NotApplicable: If the model has no prior, or the data are out of reach.
    """
    real, made, learned = coded(run, seed, split, of)
    far = distances(real, made)
    near = None if learned is None else distances(real, learned)
    order = np.argsort(-np.nan_to_num(far, nan=-1.0), kind="stable")[:SHOWN]
    names = [literal(real.names[i][:22]) for i in order]
    caption = (
        f"How far each column of {len(made)} draws is from that of {len(real)} data {which(run)}, "
        "0 for alike and 1 for apart: the largest gap of distribution functions for numbers, the "
        f"total variation for levels. On average {np.nanmean(far):.3f}"
    )
    if near is not None and learned is not None:
        caption += (
            f"; grey marks are those of {len(learned)} training rows, on average "
            f"{np.nanmean(near):.3f}, which is what rows of the same law have by chance"
        )
    few = f" The worst {SHOWN} of {len(far)} columns." if len(far) > SHOWN else ""
    figure = new(6.6, 0.24 * len(order) + 1.5, "Columns of samples and of data", f"{caption}.{few}")
    ax = figure.subplots()
    places = np.arange(len(order))
    ax.barh(places, np.nan_to_num(far[order]), 0.7, color=BLUE, label="samples")
    if near is not None:
        style = {"color": GREY, "marker": "|", "ms": 11, "mew": 2, "ls": "none"}
        ax.plot(near[order], places, label="training rows", **style)
    tidy(ax, "distance from held-out data", "")
    ax.set_yticks(places, names, fontsize=8)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.grid(False, axis="y")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def coded(
    run: Run, seed: int, split: str | None, of: Rows | None
) -> tuple[Coded, Coded, Coded | None]:
    """Returns held-out rows, as many draws or more, and training rows or None, as numbers.

    Raises:
        OtherData: If the run is none of a table.
        NotApplicable: If the model has no prior, or the data are out of reach.
    """
    if run.schema.layout != "vector":
        raise OtherData("Columns are compared of tables.")
    if not run.model.generates:
        raise NotApplicable("An autoencoder has no prior, so that there are no samples to compare.")
    generator = np.random.default_rng(seed)
    found = rows(run, split=split, of=of)
    real = coded_rows(run, found.data).drawn(MOST, generator)
    made = holes_of(coded_draws(run, max(1000, len(real)), generator), real, generator)
    try:
        learned = coded_rows(run, held_out(run, "train")).drawn(MOST, generator)
    except NotApplicable:
        learned = None
    return real, made, learned
