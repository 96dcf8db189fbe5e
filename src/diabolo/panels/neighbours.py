"""Samples beside the training data nearest to them: whether the model learned some by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..evaluate.drawing import drawn
from ..evaluate.samples.features import read, view_of
from ..evaluate.samples.nearest import closest
from ._figure import BLUE, GREY, ORANGE, NotApplicable, new, picture, tidy
from ._images import grid, size_note
from ._run import held_out, is_pictures, measured, pictures, which

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..data import Data
    from ..run import Run

__all__ = ["neighbours"]

TRAINED = 10_000  # training data that are looked through
DRAWS = 300  # samples, and other data, whose distances are shown


@torch.no_grad()
def neighbours(run: Run, *, n: int = 12, seed: int = 0) -> Figure:
    """Draws of the model above the training datum that is nearest, and how far it is.

    Arguments:
        run: A run with a prior whose training data can be read.
        n: Pictures in a row.
        seed: Keys the draws.

    Returns:
        The figure: pictures in pairs, and the distances of samples beside those of other data.

    Raises:
        NotApplicable: If the model has no prior, or the training data are out of reach.
    """
    if not run.model.generates:
        raise NotApplicable("An autoencoder has no prior, so that it makes up nothing to compare.")
    train = held_out(run, "train")
    data = held_out(run)
    few = train.take(torch.arange(min(len(train), TRAINED)))
    other = data.take(torch.arange(min(len(data), DRAWS)))
    c = measured(run, train).c
    c = None if c is None else c[torch.arange(DRAWS) % len(c)]
    x = drawn(run.model, DRAWS, c, seed=seed)
    view = view_of(few)
    asked = torch.cat([read(view, x), read(view, _values(other))]).flatten(1)
    part = read(view, _values(few)).flatten(1), torch.arange(len(few))
    row, far, _ = closest(asked, [part])
    mine, theirs = far[:DRAWS].numpy(), far[DRAWS:].numpy()
    ratio = mine.mean() / max(theirs.mean(), 1e-12)
    told = "nearer than" if ratio < 0.95 else "as far as" if ratio < 1.05 else "farther than"
    caption = (
        f"How far each of {DRAWS} draws lies from the nearest of {len(few)} training data, beside "
        f"{len(other)} data {which(run)}: on average {ratio:.2f} times as far, so {told} these. "
        "Samples that are much nearer were learned by heart."
    )
    if not is_pictures(run):
        figure = new(7.4, 3.2, "Distance to the nearest training datum", caption)
        _distances(figure.subplots(), mine, theirs)
        return figure
    order = np.argsort(mine, kind="stable")[np.linspace(0, DRAWS - 1, n).astype(int)]
    above = pictures(run, run.schema.array(x[torch.from_numpy(order)]))
    nearest = run.schema.array(_values(few.take(row[torch.from_numpy(order)])))
    below = pictures(run, nearest, like=above if run.schema.span is None else None)
    page = grid(np.concatenate([above, below]), n)
    caption = (
        "Draws from p(x|z) (above) from the nearest to the farthest, each over the training datum "
        f"nearest to it (below). {caption}{size_note(above)}"
    )
    height = 2 * 7.2 / n * above.shape[1] / above.shape[2]
    figure = new(7.6, height + 3.4, "Samples and the nearest training data", caption)
    upper, lower = figure.subplots(2, 1, height_ratios=(height, 2.2))
    picture(upper, page)
    places = [page.shape[0] / 4, page.shape[0] * 3 / 4]
    upper.set_yticks(places, ["sample", "training"], fontsize=8)
    cell = (page.shape[1] + 2) / n
    named = [f"{mine[i]:.2f}" for i in order]
    upper.set_xticks([(i + 0.5) * cell for i in range(n)], named, fontsize=7, color=GREY)
    upper.tick_params(length=0)
    _distances(lower, mine, theirs)
    return figure


def _values(data: Data) -> torch.Tensor:
    """Returns data as the model sees them, (N, *E), on the CPU; unseen entries are 0."""
    batch = data.batch(torch.arange(len(data)))
    x = batch.x if batch.mask is None else torch.where(batch.mask, batch.x, 0.0)
    return x.cpu().float()


def _distances(ax: Axes, mine: np.ndarray, theirs: np.ndarray) -> None:
    edges = np.histogram_bin_edges(np.concatenate([mine, theirs]), 30).tolist()
    ax.hist(theirs, edges, density=True, color=BLUE, alpha=0.45, label="held-out data")
    ax.hist(mine, edges, density=True, histtype="step", color=ORANGE, lw=1.4, label="samples")
    tidy(ax, "distance to the nearest training datum, as the encoder reads data", "density")
    ax.set_yticks([])
    ax.legend(fontsize=8, frameon=False)
