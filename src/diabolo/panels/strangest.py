"""The rows that are strangest to a model, and what is strange of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import DiaboloError
from ..evaluate.drawing import reconstructed
from ..tasks import anomalies
from ..tasks.attribution import arranged, attribution
from ._figure import GREY, ORANGE, NotApplicable, literal, new, picture, short, tidy
from ._images import grid, size_note
from ._rows import Rows, rows
from ._run import by_name, is_pictures, pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data import Data
    from ..run import Run
    from ..tasks import AnomalyResult

__all__ = ["strangest"]

COLUMNS = 6  # of a table, for each row


def strangest(
    run: Run,
    *,
    n: int = 8,
    score: str | None = None,
    split: str | None = None,
    of: Rows | None = None,
) -> Figure:
    """The rows of the highest anomaly score, and the part of each pixel or column in it.

    Arguments:
        run: A run whose data can be read.
        n: Rows; six of a table at most.
        score: As in `diabolo.anomalies`; None takes its default, or the distortion where that
            has no meaning or its normal data are gone.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; parts of the distortion in nats.

    Raises:
        NotApplicable: If the data are out of reach.
    """
    found = rows(run, split=split, of=of)
    judged = _judged(run, found.data, score)
    image = is_pictures(run)
    chosen = judged.order[: n if image else min(n, 6)]
    few = found.data.take(torch.from_numpy(chosen.copy()))
    caption = (
        f"The {len(chosen)} strangest of {len(found)} data {which(run)}, by {judged.score}; the "
        "number above each is its score."
    )
    try:
        parts = arranged(run.schema, attribution(run.model, few))
    except DiaboloError as error:
        if not image:
            raise NotApplicable(str(error)) from None
        parts = None
    x, _, mask = shown(run, few, len(few))
    if image:
        a = pictures(run, run.schema.array(x.cpu()))
        again = run.schema.array(reconstructed(run.model, few))
        b = pictures(run, again, like=a if run.schema.span is None else None)
        return _pictures(judged, chosen, a, b, parts, caption)
    assert parts is not None
    return _table(run, judged, chosen, by_name(run, x, mask, dates=True), parts, few, caption)


def _judged(run: Run, data: Data, score: str | None) -> AnomalyResult:
    if score is not None:
        return anomalies(run, data, score=score)
    try:
        return anomalies(run, data)
    except DiaboloError:
        return anomalies(run, data, score="distortion")


def _pictures(
    judged: AnomalyResult,
    chosen: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    parts: np.ndarray | None,
    caption: str,
) -> Figure:
    n = len(chosen)
    names, pages = ["datum", "decoded"], [a, b]
    caption += " Above the datum, below it what its code decodes to"
    ratio = a.shape[1] / a.shape[2]
    heat = None
    if parts is not None:
        heat = parts if parts.shape[1:3] == a.shape[1:3] else np.moveaxis(parts, 1, -1)
        heat = np.nan_to_num(heat)  # an unseen pixel has no part
        heat = heat.sum(-1) if heat.ndim == 4 else heat
        most = float(np.quantile(heat, 0.995))
        caption += (
            ", and last the part of each pixel in the distortion, darker for more (black: "
            f"{most:.1f} nats or more)"
        )
        names.append("nats")
        pages.append(1 - np.clip(heat / max(most, 1e-9), 0, 1))
    figure = new(
        7.4, 7.0 / n * ratio * len(pages) + 1.1, "Strangest data", caption + f".{size_note(a)}"
    )
    axes = figure.subplots(len(pages), 1, squeeze=False)[:, 0]
    for ax, x, name in zip(axes, pages, names, strict=True):
        page = grid(x, n)
        picture(ax, page)
        ax.set_yticks([page.shape[0] / 2], [name], fontsize=8)
        ax.tick_params(length=0)
    cell = (grid(a, n).shape[1] + 2) / n
    told = [f"{judged.scores[i]:.1f}" for i in chosen]
    axes[0].set_xticks([(k + 0.5) * cell for k in range(n)], told, fontsize=8, color=GREY)
    axes[0].xaxis.tick_top()
    axes[0].tick_params(length=0)
    return figure


def _table(
    run: Run,
    judged: AnomalyResult,
    chosen: np.ndarray,
    values: dict[str, np.ndarray],
    parts: np.ndarray,
    few: Data,
    caption: str,
) -> Figure:
    names = list(values)
    flat = parts.reshape(len(parts), -1)
    kept = min(COLUMNS, len(names))
    wide = min(3, len(chosen))
    high = -(-len(chosen) // wide)
    caption += (
        f" Bars: the {kept} columns that have the largest part in the row's distortion, in nats; "
        "a negative part says that the value was likelier than the unit of its column."
    )
    figure = new(3.2 * wide, (0.24 * kept + 0.75) * high + 1.1, "Strangest data", caption)
    axes = figure.subplots(high, wide, squeeze=False).flatten().tolist()
    for ax in axes[len(chosen) :]:
        ax.set_visible(False)
    for k, (ax, i) in enumerate(zip(axes, chosen, strict=False)):
        top = np.argsort(-flat[k], kind="stable")[:kept][::-1]  # NaN, unseen, goes last
        ax.barh(np.arange(kept), flat[k][top], 0.7, color=ORANGE)
        told = [_told(names[j], values[names[j]][k]) for j in top]
        tidy(ax, "nats" if k + wide >= len(chosen) else "", "")
        ax.set_yticks(np.arange(kept), told, fontsize=7)
        row = int(few.rows[k])
        ax.set_title(f"row {row}: {judged.scores[i]:.1f}", fontsize=8.5, loc="left")
        ax.grid(False, axis="y")
    return figure


def _told(name: str, value: object) -> str:
    if value is None or value != value:
        told = "unseen"
    elif isinstance(value, float | int | np.number):
        told = f"{float(value):.3g}"
    else:
        told = str(value)[:10]
    return literal(f"{short(name, 14)} = {told}")
