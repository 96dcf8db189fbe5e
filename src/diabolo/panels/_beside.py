"""Runs beside each other: their learning curves, and where they lie between rate and distortion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..train import selector
from ._figure import GREY, literal, new, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..evaluate import Bound, Estimate
    from ..run import Run

__all__ = ["beside"]


def beside(
    names: Sequence[str],
    runs: Sequence[Run],
    measures: Sequence[tuple[Bound | None, Estimate | None]],
) -> dict[str, Figure]:
    """Returns the figures that show runs together, by their names.

    Arguments:
        names: What the runs are called.
        runs: The runs.
        measures: The bound and the distortion of each on the same data, where they are known.
    """
    found = {}
    if any(run.history.rows for run in runs):
        found["learning_curves"] = _curves(names, runs)
    points = [(n, m[0]) for n, m in zip(names, measures, strict=True) if m[0] is not None]
    if len(points) > 1:
        found["rate_distortion"] = _plane(points)
    return found


def _curves(names: Sequence[str], runs: Sequence[Run]) -> Figure:
    caption = (
        "What was measured on validation data after each epoch, by epoch (left) and by seconds of "
        "training (right); a dot is the epoch whose weights were kept. Of deterministic models it "
        "is the objective, which is no bound and not to be compared with one."
    )
    figure = new(9.0, 3.8, "Learning curves", caption)
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (name, run) in enumerate(zip(names, runs, strict=True)):
        rows, best = run.history.rows, run.history.best
        if not rows or best is None:
            continue
        bound = selector(run.recipe)[0]
        label = literal(f"{name} ({bound})")
        value = [r.valid_elbo for r in rows]
        for ax, x, at in (
            (left, [r.epoch for r in rows], best.epoch),
            (right, [r.seconds for r in rows], best.seconds),
        ):
            ax.plot(x, value, color=f"C{i}", lw=1.5, label=label)
            ax.plot([at], [best.valid_elbo], "o", color=f"C{i}", ms=5)
    tidy(left, "epoch", "nats per datum")
    tidy(right, "seconds", "")
    late = [v.valid_elbo for r in runs for v in r.history.rows[len(r.history.rows) // 20 :]]
    edge = 0.06 * (max(late) - min(late)) + 1e-6
    left.set_ylim(min(late) - edge, max(late) + edge)
    left.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _plane(points: Sequence[tuple[str, Bound]]) -> Figure:
    caption = (
        "Distortion by rate on the same data, with the standard error of the data. On a thin line "
        "the ELBO is the same everywhere; further down and to the left it is higher."
    )
    figure = new(6.0, 4.4, "Rate and distortion", caption)
    ax = figure.subplots()
    for i, (name, parts) in enumerate(points):
        rate = parts.total_rate.value
        label = literal(name)
        error = parts.distortion.data_stderr
        style = {"fmt": "o", "ms": 6, "color": f"C{i}", "capsize": 2, "elinewidth": 1}
        ax.errorbar([rate], [parts.distortion.value], yerr=error, label=label, **style)
    tidy(ax, "rate (nats)", "distortion (nats)")
    ax.margins(0.15, 0.15)
    (x, right), (y, top) = ax.get_xlim(), ax.get_ylim()
    for i in range(1, 12):
        ax.axline((x, y + i / 6 * (top - y)), slope=-1, color="#dddddd", lw=0.8, zorder=0)
    ax.set(xlim=(x, right), ylim=(y, top))
    ax.legend(fontsize=8.5, frameon=False, labelcolor=GREY)
    return figure
