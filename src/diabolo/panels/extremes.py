"""The data that a model keeps best, as most are kept, and worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..evaluate.drawing import reconstructed
from ._figure import GREY, NotApplicable, bare, literal, new, picture, short
from ._images import grid, size_note
from ._rows import Rows, rows
from ._run import by_name, is_pictures, pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["extremes"]

KINDS = ("best", "typical", "worst")
COLUMNS = 14  # of a table
LETTERS = 14  # of a value


def extremes(run: Run, *, n: int = 8, split: str | None = None, of: Rows | None = None) -> Figure:
    """The rows of least, middle and greatest distortion beside their reconstructions.

    Arguments:
        run: A run whose data can be read.
        n: Pictures of each kind; of a table one row of each is shown.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; distortions in nats.

    Raises:
        NotApplicable: If the data are out of reach, or there are fewer than three.
    """
    found = rows(run, split=split, of=of)
    if len(found) < 3:
        raise NotApplicable("Best, typical and worst need three data or more.")
    image = is_pictures(run)
    each = min(n, len(found) // 3) if image else 1
    order = np.argsort(found.distortion, kind="stable")
    middle = (len(order) - each) // 2
    chosen = np.stack([order[:each], order[middle : middle + each], order[-each:][::-1]])
    few = found.data.take(torch.from_numpy(chosen.flatten()))
    x, _, mask = shown(run, few, len(few))
    again = reconstructed(run.model, few)
    caption = (
        f"Of {len(found)} data {which(run)}, those of least, middle and greatest distortion "
        "-log p(x|z): the original {0} what its code decodes to. "
        "Numbers: distortion{1} in nats. What is worst is often rare, noisy or mislabelled."
    )
    rate = "" if found.rate is None else " / rate"
    if not image:
        told = caption.format("left of", rate)
        before, after = by_name(run, x, mask, dates=True), by_name(run, again, dates=True)
        return _table(run, found, chosen[:, 0], before, after, told)
    a = pictures(run, run.schema.array(x.cpu()))
    b = pictures(run, run.schema.array(again), like=a if run.schema.span is None else None)
    ratio = a.shape[1] / a.shape[2]
    told = caption.format("above", rate) + size_note(a)
    figure = new(7.4, 3 * (2 * 7.0 / each * ratio + 0.42) + 0.8, "Best, typical and worst", told)
    for ax, kind, at in zip(figure.subplots(3, 1), KINDS, chosen, strict=True):
        i = KINDS.index(kind) * each
        page = grid(np.concatenate([a[i : i + each], b[i : i + each]]), each)
        picture(ax, page)
        cell = (page.shape[1] + 2) / each
        values = [_nats(found, j) for j in at]
        ax.set_xticks([(k + 0.5) * cell for k in range(each)], values, fontsize=7, color=GREY)
        ax.set_yticks([page.shape[0] / 2], [kind], fontsize=9, rotation=90, va="center")
        ax.tick_params(length=0)
    return figure


def _nats(found: Rows, i: int) -> str:
    rate = "" if found.rate is None else f" / {found.rate[i]:.1f}"
    return f"{found.distortion[i]:.1f}{rate}"


def _table(
    run: Run,
    found: Rows,
    chosen: np.ndarray,
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    caption: str,
) -> Figure:
    """Writes the values of three rows beside what becomes of them."""
    names = list(before)[:COLUMNS]
    if len(names) < len(before):
        caption += f" The first {len(names)} of {len(before)} columns."
    figure = new(9.4, 0.27 * (len(names) + 2) + 1.0, "Best, typical and worst", caption)
    ax = figure.subplots()
    bare(ax)
    ax.set(xlim=(0, 1), ylim=(len(names) + 1.6, -0.2))
    starts = (0.25, 0.5, 0.75)
    for start, kind, i in zip(starts, KINDS, chosen, strict=True):
        row = int(found.data.rows[int(i)])
        _write(ax, start, 0.3, f"{kind}: row {row}", weight="bold")
        _write(ax, start, 1.1, f"{_nats(found, int(i))} nats", color=GREY)
    for j, name in enumerate(names):
        y = j + 2.0
        ax.axhline(y - 0.5, color="#e6e6e6", lw=0.7)
        _write(ax, 0.0, y, short(name, 24))
        for k, start in enumerate(starts):
            _write(ax, start, y, f"{_value(before[name][k])}  \u2192  {_value(after[name][k])}")
    return figure


def _write(ax: Axes, x: float, y: float, text: str, **style: str) -> None:
    ax.text(x, y, literal(text), fontsize=8, va="center", **style)  # type: ignore[arg-type]


def _value(value: object) -> str:
    if value is None or value != value:
        return "(unseen)"
    number = isinstance(value, float | int | np.number)
    return f"{float(value):.4g}" if number else short(str(value), LETTERS)  # type: ignore[arg-type]
