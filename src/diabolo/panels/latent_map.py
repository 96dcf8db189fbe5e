"""Where data lie in the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._figure import BLUE, NotApplicable, new, tidy
from ._run import codes, continuous, held_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["latent_map"]

LEGEND = 30  # classes at most in a legend


def latent_map(run: Run, *, split: str | None = None, most: int = 5000) -> Figure:
    """The posterior means of held-out data in the plane, coloured by label.

    One or two latent elements are shown as they are; more through their principal components.
    Discrete elements are left out: their numbers are names.

    Arguments:
        run: A run whose data can be read.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        most: How many data to show at most.

    Returns:
        The figure.

    Raises:
        NotApplicable: If the data are out of reach, or all elements are discrete.
    """
    data = held_out(run, split)
    shown = continuous(run, "A latent map")
    mean = codes(run, data, most)[:, shown]
    n, d = mean.shape
    if n < 3:
        raise NotApplicable(
            f"A map needs three data or more, but {n} {'was' if n == 1 else 'were'} held out."
        )
    if d > 2:
        from sklearn.decomposition import PCA

        pca = PCA(2).fit(mean)
        points = np.asarray(pca.transform(mean))
        share = pca.explained_variance_ratio_
        names = [f"principal component {i + 1} ({share[i]:.0%} of variance)" for i in range(2)]
        how = f"The first two principal components of {d} latent means hold {share.sum():.0%}."
    elif d == 2:
        points, names = mean, [f"$z_{{{i}}}$" for i in shown]
        how = "Both latent elements, as the encoder's mean."
    else:
        jitter = np.random.default_rng(0).uniform(-0.5, 0.5, n)
        points = np.stack([mean[:, 0], jitter], 1)
        names = [f"$z_{{{shown[0]}}}$", "(no meaning: spread)"]
        how = "The one latent element, as the encoder's mean; the height is random."
    caption = f"{n} data that were not trained on. {how}"
    figure = new(7.4, 6.0, "Latent map", caption)
    ax = figure.subplots()
    labels = None if data.labels is None else data.labels[:n].cpu().numpy()
    if labels is None or not np.issubdtype(labels.dtype, np.integer):
        ax.scatter(*points.T, s=9, color=BLUE, alpha=0.6, linewidths=0)
    else:
        _coloured(ax, points, labels, data.classes)
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
    ax.scatter(*points.T, s=size, c=colours[place], alpha=0.75, linewidths=0)
    if len(values) > LEGEND:
        return
    for value, colour in zip(values, colours, strict=False):
        name = classes[value] if 0 <= value < len(classes) else str(value)
        name = "none" if value < 0 else name
        ax.scatter([], [], s=26, color=colour, label=name)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=9,
        title="label",
        title_fontsize=9,
        ncols=1 if len(values) <= 15 else 2,
    )
