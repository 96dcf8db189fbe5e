"""The rate-distortion plane: points of many runs, and what a nat of rate buys between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._figure import BLUE, GREY, ORANGE, NotApplicable, new, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..study import Tradeoff

__all__ = ["rate_distortion"]

CLOSE = 0.05  # of an axis: points that are nearer have their names together


def rate_distortion(found: Tradeoff) -> Figure:
    """Distortion by rate with the lower convex hull, and the price of a nat of rate beside it.

    Where the best models are known in closed form their curve is drawn below the points.

    Arguments:
        found: What `tradeoff` found.

    Returns:
        The figure; nats per datum on all axes but that of prices.

    Raises:
        NotApplicable: If there are fewer than two points.
    """
    if len(found.points) < 2:
        raise NotApplicable("A curve has two points at least: let more of them be trained.")
    best = found.best
    caption = (
        f"{found.recipe}, {found.n} {'test' if found.split == 'test' else 'validation'} data. "
        f"The best ELBO is {best.elbo.value:.2f} nats, at {found.option} = {best.value:g}; on the "
        "thin lines it is the same everywhere. Right: steps are what one more nat of rate buys "
        "between two points, which has to lie between their prices (dots)."
    )
    if found.theory:
        caption += " Dashed: the best linear-Gaussian models there are (reverse water-filling)."
    figure = new(9.6, 4.6, "Rate and distortion", caption)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _plane(left, found)
    _prices(right, found)
    return figure


def _plane(ax: Axes, found: Tradeoff) -> None:
    """Draws distortion by rate."""
    rate = [p.rate.value for p in found.points]
    distortion = [p.distortion.value for p in found.points]
    errors = [p.distortion.data_stderr or 0.0 for p in found.points]
    hull = [p for p in found.points if p.hull]
    if found.theory:
        line = [t.rate for t in found.theory], [t.distortion for t in found.theory]
        ax.plot(*line, color=GREY, lw=1.3, ls="--", label="best linear-Gaussian model")
    on = [p.rate.value for p in hull], [p.distortion.value for p in hull]
    ax.plot(*on, color=BLUE, lw=1.4, label="lower convex hull", zorder=2)
    style = {"color": BLUE, "ms": 5, "elinewidth": 1, "capsize": 2, "zorder": 3}
    ax.errorbar(rate, distortion, yerr=errors, fmt="o", label="runs, standard error", **style)
    bad = [p for p in found.points if p.beaten]
    if bad:
        off = [p.rate.value for p in bad], [p.distortion.value for p in bad]
        ax.plot(*off, "o", ms=10, mfc="none", mec=ORANGE, mew=1.6, label="another does better")
    tidy(ax, "rate  KL$(q(z|x)\\,\\|\\,p(z))$ (nats)", "distortion  $-\\log p(x|z)$ (nats)")
    ax.margins(0.08, 0.1)
    _names(ax, found)
    low, high = ax.get_ylim()
    start, end = ax.get_xlim()
    least = -found.best.elbo.value
    step = _step(high + end - least)
    for i in range(60):  # lines of one ELBO, the best one's and those below it
        ax.axline((0.0, least + i * step), slope=-1, color="#dddddd", lw=0.8, zorder=0)
    ax.set(xlim=(start, end), ylim=(low, high))
    ax.legend(fontsize=8.5, frameon=False)


def _names(ax: Axes, found: Tradeoff) -> None:
    """Writes the option's values at the points, those of points that meet at one place."""
    spans = [high - low for low, high in (ax.get_xlim(), ax.get_ylim())]
    met: list[tuple[tuple[float, float], list[str]]] = []
    for p in found.points:
        at = p.rate.value, p.distortion.value
        near = met and all(
            abs(a - b) < CLOSE * span for a, b, span in zip(at, met[-1][0], spans, strict=True)
        )
        if near:
            met[-1][1].append(f"{p.value:g}")
        else:
            met.append((at, [f"{p.value:g}"]))
    symbol = "$\\beta$ = " if found.option == "beta" else ""
    style = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": 8, "color": GREY}
    for at, values in met:
        few = values if len(values) < 4 else [values[0], "...", values[-1]]
        ax.annotate(symbol + ", ".join(few), at, **style)


def _step(span: float) -> float:
    """Returns a round number of which a span holds about eight."""
    rough = max(span, 1e-9) / 8
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough)


def _prices(ax: Axes, found: Tradeoff) -> None:
    """Draws what a nat of rate costs, and what it buys."""
    if found.theory:
        line = [t.rate for t in found.theory], [t.price for t in found.theory]
        ax.plot(*line, color=GREY, lw=1.3, ls="--", label="price of the best linear model")
    label: str | None = "measured between two runs"
    for p, q in zip(found.points, found.points[1:], strict=False):
        if p.exchange is None or p.exchange.price <= 0:
            continue
        ends, height = (p.rate.value, q.rate.value), p.exchange.price
        colour = ORANGE if p.exchange.within is False else BLUE
        ax.plot(ends, (height, height), color=colour, lw=2.2, label=label, solid_capstyle="butt")
        label = None
    known = [(p.rate.value, p.price) for p in found.points if p.price is not None]
    if known:
        ax.plot(*zip(*known, strict=True), "o", color=GREY, ms=4.5, label="paid in training")
    ax.set_yscale("log")
    tidy(ax, "rate (nats)", "price: nats of distortion for a nat of rate")
    ax.legend(fontsize=8.5, frameon=False)
