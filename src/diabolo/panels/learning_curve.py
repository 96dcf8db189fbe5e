"""How training went: the bound above, what it is made of below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..objectives import declaration
from ..train import selector
from ._figure import BLUE, GREY, ORANGE, NotApplicable, new, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["learning_curve"]

LONG = 10  # epochs from which on the first steep ones are left out of the frame


def learning_curve(run: Run) -> Figure:
    """Objective and ELBO by epoch, rate and distortion apart; the selected epoch is marked.

    A deterministic model has no ELBO: its objective was what selected.

    Arguments:
        run: A run with a history.

    Returns:
        The figure; nats per datum on every vertical axis.

    Raises:
        NotApplicable: If the run has no history.
    """
    rows, best = run.history.rows, run.history.best
    if not rows or best is None:
        raise NotApplicable("This run has no history: it was not trained here.")
    epoch = np.array([r.epoch for r in rows])
    point, (bound, scored, _) = run.model.deterministic, selector(run.recipe)
    objective = np.array([r.objective for r in rows])
    distortion = np.array([r.distortion for r in rows])
    rate = np.array([sum(r.rate) for r in rows])
    valid = np.array([r.valid_elbo for r in rows])
    parts = [("distortion  $-\\log p(x|z)$", distortion, [r.valid_distortion for r in rows])]
    if not point:
        total = [sum(r.valid_rate) for r in rows]
        parts.append(("rate  KL$(q(z|x)\\,\\|\\,p(z))$", rate, total))
    caption = (
        f"Validation {bound} {best.valid_elbo:.2f} nats per datum at epoch {best.epoch} of "
        f"{rows[-1].epoch}, whose weights are kept (dashed line), after {best.seconds:.0f} s. "
        + ("" if point else f"Its rate is {sum(best.valid_rate):.2f} nats and its ")
        + ("Its " if point else "")
        + f"distortion {best.valid_distortion:.2f} nats."
        + ("" if run.config.refit is None else " The prior was fitted to codes after this.")
    )
    figure = new(4.2 * (1 + len(parts)), 3.7, "Learning curve", caption)
    axes = figure.subplots(1, 1 + len(parts), squeeze=False)[0]

    said = declaration(run.recipe.objective)
    if point and scored is run.recipe.objective:
        train, name = objective, f"{bound}, training"
    elif said.importance:  # parts that are weighed by importance sum to more than any bound
        train, name = objective, f"bound of {run.recipe.k} samples, training"
    else:
        train, name = -distortion - rate, f"{bound}, training"
        if np.abs(objective - train).max() > 1e-3 * max(1.0, np.abs(train).max()):
            told = f"training objective{', no bound' if said.surrogate else ''}"
            axes[0].plot(epoch, objective, color=GREY, lw=1.2, ls=":", label=told)
    axes[0].plot(epoch, train, color=BLUE, lw=1.6, label=name)
    axes[0].plot(epoch, valid, color=ORANGE, lw=1.6, label=f"{bound}, validation")
    _finish(axes[0], epoch, f"{bound} (nats per datum)", best.epoch, [train, valid])
    for ax, (name, seen, held) in zip(axes[1:], parts, strict=True):
        weighed = ", weighed by importance" if said.importance else ""
        ax.plot(epoch, seen, color=BLUE, lw=1.6, label=f"training{weighed}")
        ax.plot(epoch, held, color=ORANGE, lw=1.6, label="validation")
        _finish(ax, epoch, f"{name} (nats)", best.epoch, [seen, np.array(held)])
    return figure


def _finish(ax: Axes, epoch: np.ndarray, label: str, best: int, curves: list[np.ndarray]) -> None:
    """Labels a curve, marks the best epoch and leaves the steep start of a long run out."""
    from matplotlib.ticker import MaxNLocator

    tidy(ax, "epoch", label)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.axvline(best, color=GREY, lw=1.0, ls="--")
    if len(epoch) == 1:  # a point is no line
        for line in ax.get_lines()[:-1]:
            line.set_marker("o")
    else:
        ax.set_xlim(epoch[0], epoch[-1])
        steep = max(1, len(epoch) // 20) if len(epoch) >= LONG else 0
        late = np.concatenate([c[steep:] for c in curves])
        low, high = late.min(), late.max()
        ax.set_ylim(low - 0.06 * (high - low) - 1e-6, high + 0.06 * (high - low) + 1e-6)
    ax.legend(fontsize=8.5, frameon=False)
