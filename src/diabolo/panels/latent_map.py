"""Where data lie in the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._figure import BLUE, literal, new, tidy
from ._rows import Rows, plane, rows
from ._run import which

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["latent_map"]

LEGEND = 30  # classes at most in a legend
DENSE = 1000  # points from which on they are one picture in a file of lines


def latent_map(
    run: Run, *, split: str | None = None, most: int = 5000, of: Rows | None = None
) -> Figure:
    """The posterior means of held-out data in the plane, coloured by label.

    One or two latent elements are shown as they are; more through their principal components.
    Discrete elements are left out: their numbers are names.

    Arguments:
        run: A run whose data can be read.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        most: How many data to show at most.
        of: Rows that are measured already; then split and most have no part in it.

    Returns:
        The figure.

    Raises:
        NotApplicable: If the data are out of reach, or all elements are discrete.
    """
    found = rows(run, n=most, split=split, of=of)
    flat = plane(found)
    n, d, names = len(found), len(flat.elements), list(flat.names)
    if d > 2:
        how = f"The first two principal components of {d} latent means hold {flat.share.sum():.0%}."
    elif d == 2:
        names = [f"$z_{{{i}}}$" for i in flat.elements]
        how = "Both latent elements, as the encoder's mean."
    else:
        names = [f"$z_{{{flat.elements[0]}}}$", "(no meaning: spread)"]
        how = "The one latent element, as the encoder's mean; the height is random."
    caption = f"{n} data {which(run)}. {how}"
    figure = new(7.4, 6.0, "Latent map", caption)
    ax = figure.subplots()
    labels = found.labels
    if labels is None or not np.issubdtype(labels.dtype, np.integer):
        ax.scatter(*flat.points.T, s=9, color=BLUE, alpha=0.6, linewidths=0, rasterized=n > DENSE)
    else:
        _coloured(ax, flat.points, labels, found.classes)
    tidy(ax, *names)
    if d >= 2:
        ax.set_aspect("equal", adjustable="datalim")
    return figure


def _coloured(ax: Axes, points: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Draws each class in a colour of its own, with a legend beside the axes."""
    from matplotlib import colormaps

    values = np.unique(labels)
    if len(values) <= 10:
        colours = colormaps["tab10"](np.arange(len(values)))
    elif len(values) <= 20:
        colours = colormaps["tab20"](np.arange(len(values)))
    else:
        colours = colormaps["turbo"](np.linspace(0, 1, len(values)))
    place = np.searchsorted(values, labels)
    # In one call, so that no class lies on top of all the others.
    size = float(np.clip(9000 / len(points), 7, 26))
    ax.scatter(
        *points.T,
        s=size,
        c=colours[place],
        alpha=0.75,
        linewidths=0,
        rasterized=len(points) > DENSE,
    )
    if len(values) > LEGEND:
        return
    for value, colour in zip(values, colours, strict=False):
        name = classes[value] if 0 <= value < len(classes) else str(value)
        name = "none" if value < 0 else name
        ax.scatter([], [], s=26, color=colour, label=literal(name))
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=9,
        title="label",
        title_fontsize=9,
        ncols=1 if len(values) <= 15 else 2,
    )
