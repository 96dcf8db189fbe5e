"""What each latent element costs, and which of them say anything of x."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..evaluate import active_units
from ._figure import BLUE, GREY, NotApplicable, new, tidy
from ._rows import Rows, rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["rates"]

MOST = 64  # elements that have a bar
NAMED = 24  # bars that have room for a name


def rates(run: Run, *, split: str | None = None, of: Rows | None = None) -> Figure:
    """The mean rate of each latent element, the largest first; dark where it is active.

    Of a deterministic model, and where the rate does not split, the variance of the codes stands
    for it.

    Arguments:
        run: A run whose data can be read.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; nats per datum.

    Raises:
        NotApplicable: If the data are out of reach, or there are fewer than two.
    """
    found = rows(run, split=split, of=of)
    if len(found) < 2:
        raise NotApplicable(
            "Rates by element are means over data: two or more, but one was held out."
        )
    units = active_units(run.model, found.data)
    pairs = zip(units.variance, units.information, strict=True)
    active = torch.cat([(v > units.threshold) | (i > units.threshold) for v, i in pairs]).numpy()
    size, what = found.per_latent_rate, "rate"
    if np.isnan(size).all():
        size, what = torch.cat(units.variance).numpy(), "variance of the code"
        if np.isnan(size).all():
            size, what = torch.cat(units.information).numpy(), "information with x"
    order = np.argsort(-np.nan_to_num(size, nan=-np.inf), kind="stable")[:MOST]
    unit = "" if what.startswith("var") else " (nats)"
    total = "" if found.rate is None else f", {found.rate.mean():.2f} nats in all"
    few = f" The {MOST} largest are shown." if len(size) > MOST else ""
    unknown = int(np.isnan(size).sum())
    lost = f" Of {unknown} elements it is not known apart." if unknown else ""
    pale = "" if units.count == len(size) else "; the others (pale) hardly do, and tell little"
    caption = (
        f"The mean {what} of each latent element over {len(found)} data{total}. {units.count} of "
        f"{len(size)} are active (dark: they move with x){pale}.{few}{lost}"
    )
    figure = new(7.4, 3.2, f"{what.capitalize()} of each latent element", caption)
    ax = figure.subplots()
    colours = [BLUE if active[i] else "#b9c6d6" for i in order]
    ax.bar(np.arange(len(order)), np.nan_to_num(size[order]), 0.75, color=colours)
    tidy(ax, "latent element", f"{what}{unit}")
    ax.grid(False, axis="x")
    if len(order) <= NAMED:
        ax.set_xticks(np.arange(len(order)), [f"z{i}" for i in order], fontsize=8.5, color=GREY)
    else:
        ax.set_xticks([])
    return figure
