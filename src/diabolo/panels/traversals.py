"""What each latent element does: data decoded while one moves and the others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..run.traversal import moving, path
from ._figure import NotApplicable, OtherData, by_column, literal, new, picture, tidy
from ._images import grid, size_note
from ._run import by_name, condition_of, decoded, held_out, is_pictures, pictures, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..run import Run

__all__ = ["traversals"]

COLUMNS = 16  # of a table


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
        OtherData: If a datum is no picture and has no columns of numbers.
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
        return _table(run, x, names, steps, title, caption)
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


def _table(run: Run, x: Tensor, names: list[str], steps: int, title: str, caption: str) -> Figure:
    """Shows how far each column of numbers moves, in its standard deviations."""
    columns = {
        n: v
        for n, v in by_name(run, x, parts=True).items()
        if np.issubdtype(v.dtype, np.number) and not np.isnan(v).all()
    }
    if not columns:
        raise OtherData("Traversals are shown of pictures and of columns of numbers.")
    scale = _scales(run, columns)
    kept = list(columns)[:COLUMNS]
    moved = np.stack([(columns[n] - columns[n].mean()) / scale[n] for n in kept])
    moved = moved.reshape(len(kept), len(names), steps)
    moved -= moved[:, :, [steps // 2]]
    most = max(float(np.nanmax(np.abs(moved))), 1e-9)
    caption += (
        f" Colour: how far each column moves, red up and blue down, at most {most:.2g} of its "
        "standard deviations."
    )
    if len(kept) < len(columns):
        caption += f" The first {len(kept)} of {len(columns)} columns of numbers."
    figure, axes = by_column(names, 0.6 + 0.2 * len(kept), title, caption)
    left = min(ax.get_position().x0 for ax in axes)
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.imshow(moved[:, i], cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
        tidy(ax, name, "")
        ax.grid(False)
        ax.set_xticks([0, steps // 2, steps - 1], ["-3", "0", "3"], fontsize=7)
        first = ax.get_position().x0 == left
        short = [literal(n[:16]) for n in kept] if first else []
        ax.set_yticks(range(len(kept)) if first else [], short, fontsize=7)
    return figure


def _scales(run: Run, columns: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the standard deviation of each column over data, or 1 where they are gone."""
    try:
        data = held_out(run)
    except NotApplicable:
        return dict.fromkeys(columns, 1.0)
    x, _, mask = shown(run, data, len(data))
    values = by_name(run, x, mask, parts=True)
    found = {n: values[n].astype(float) for n in columns}
    return {n: 1.0 if np.isnan(v).all() else float(np.nanstd(v)) or 1.0 for n, v in found.items()}
