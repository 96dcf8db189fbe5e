"""What each latent element does: data decoded while one moves and the others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..run.traversal import moving, path
from ._figure import NotApplicable, OtherData, by_column, literal, new, picture, tidy
from ._figure import short as cut
from ._images import grid, size_note
from ._run import by_name, chances, condition_of, decoded, held_out, is_pictures, pictures, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..run import Run

__all__ = ["traversals"]

LETTERS = 24  # of a column and its level
COLUMNS = 24  # rows of a table, numbers and levels
LEVELS = 3  # of one column
LEAST = 0.05  # the least standard deviation of a level, that of one in 400
Levels = dict[str, dict[str, "np.ndarray"]]


def traversals(run: Run, *, most: int = 10, steps: int = 9) -> Figure:
    """Means of p(x|z) along each latent element, the most used first, from -3 to 3 deviations.

    Arguments:
        run: A trained run.
        most: Elements at most.
        steps: Values of each.

    Returns:
        The figure: a row of pictures for each element, or how the columns of a table move.

    Raises:
        NotApplicable: If the run was not trained, or a condition is out of reach.
        OtherData: If a datum is no picture and has no columns.
    """
    if "latents" not in run.metrics:
        raise NotApplicable("How far elements reach is not known: the run was not trained.")
    data = held_out(run) if run.model.condition else None
    c, given = (None, "") if data is None else condition_of(run, data)
    c = run.model.given(c)
    chosen = moving(run, None, c is not None)[: most if is_pictures(run) else 6]
    codes = path(run, chosen, None, steps)
    if run.model.classifies:
        given = ""
    x = decoded(run, codes.flatten(0, 1), c)
    rate, by = run.latents.rate, run.latents.by
    title = f"Traversals, by {by}"
    names = [_name(run, i, rate) for i in chosen]
    few = (
        f" The {len(chosen)} of greatest {by} of {run.latent}." if len(chosen) < run.latent else ""
    )
    caption = (
        "The mean of p(x|z) while one latent element moves and the others stay at their mean"
        f"{given}; the element of greatest {by} first.{few} From left to right a continuous "
        "element goes from -3 to 3 standard deviations of the codes; a discrete one takes its "
        "values in order. A row in which nothing moves is an element that the decoder ignores."
    )
    if not is_pictures(run):
        parts = chances(run, codes.flatten(0, 1), c)
        return _table(run, x, parts, names, steps, title, caption)
    seen = pictures(run, run.schema.array(x))
    ratio = seen.shape[1] / seen.shape[2]
    size = 6.2 / steps * ratio * len(chosen)
    figure = new(7.4, size + 0.9, title, caption + size_note(seen))
    ax = figure.subplots()
    page = grid(seen, steps)
    picture(ax, page)
    cell = (page.shape[0] + 2) / len(chosen)
    ax.set_yticks([(i + 0.5) * cell for i in range(len(chosen))], names, fontsize=8)
    ax.tick_params(length=0)
    return figure


def _name(run: Run, i: int, rate: np.ndarray) -> str:
    return f"z{i}" if np.isnan(rate[i]) else f"z{i}  {rate[i]:.2f} nats"


def _table(
    run: Run, x: Tensor, parts: Levels, names: list[str], steps: int, title: str, caption: str
) -> Figure:
    """Shows how far numbers and the probabilities of levels move, in their standard deviations."""
    scale, share = _scales(run)
    columns: dict[tuple[str, ...], np.ndarray] = {}  # by name, or by name and level
    for name, values in by_name(run, x, parts=True).items():
        if np.issubdtype(values.dtype, np.number):
            if not np.isnan(values).all():
                columns[(name,)] = (values - values.mean()) / scale.get(name, 1.0)
            continue
        levels, known = parts.get(name, {}), share.get(name)
        moving_most = sorted(levels, key=lambda level: -float(np.ptp(levels[level])))[:LEVELS]
        for level in [v for v in levels if v in moving_most]:
            p = 0.5 if known is None else known.get(level, 1 - sum(known.get(v, 0) for v in levels))
            spread = max(float(np.sqrt(p * (1 - p))), LEAST)
            columns[name, level] = (levels[level] - levels[level].mean()) / spread
    if not columns:
        raise OtherData("Traversals are shown of pictures and of tables.")
    kept = list(columns)[:COLUMNS]
    moved = np.stack([columns[n] for n in kept]).reshape(len(kept), len(names), steps)
    moved -= moved[:, :, [steps // 2]]
    most = max(float(np.nanmax(np.abs(moved))), 1e-9)
    caption += (
        f" Colour: how far each column moves, red up and blue down, at most {most:.2g} of "
        "its standard deviations."
    )
    if parts:
        caption += f" Of words: how likely each is, of each column the {LEVELS} that move most."
    if len(kept) < len(columns):
        caption += f" The first {len(kept)} of {len(columns)} rows."
    figure, axes = by_column(names, 0.6 + 0.2 * len(kept), title, caption)
    left = min(ax.get_position().x0 for ax in axes)
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.imshow(moved[:, i], cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
        tidy(ax, name, "")
        ax.grid(False)
        ax.set_xticks([0, steps // 2, steps - 1], ["-3", "0", "3"], fontsize=7)
        first = ax.get_position().x0 == left
        short = [literal(_row(n)) for n in kept] if first else []
        ax.set_yticks(range(len(kept)) if first else [], short, fontsize=7)
    return figure


def _row(name: tuple[str, ...]) -> str:
    """Returns what stands at a row: a column, or a column and its level."""
    return " = ".join(cut(part, LETTERS // len(name)) for part in name)


def _scales(run: Run) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns the standard deviations of numbers over data, and how frequent levels are.

    Both are empty where the data are gone.
    """
    try:
        data = held_out(run)
    except NotApplicable:
        return {}, {}
    x, _, mask = shown(run, data, len(data))
    scale: dict[str, float] = {}
    share: dict[str, dict[str, float]] = {}
    for name, values in by_name(run, x, mask, parts=True).items():
        if np.issubdtype(values.dtype, np.number):
            seen = values[~np.isnan(values)].astype(float)
            scale[name] = float(seen.std()) or 1.0 if len(seen) else 1.0
        else:
            seen = np.array([str(v) for v in values if v is not None])
            levels, counts = np.unique(seen, return_counts=True)
            share[name] = dict(zip(levels.tolist(), (counts / len(seen)).tolist(), strict=True))
    return scale, share
