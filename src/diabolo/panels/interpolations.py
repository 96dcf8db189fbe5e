"""What lies between data: the shortest paths between their codes, decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..distributions import REALS
from ._figure import NotApplicable, new, picture
from ._images import grid, size_note
from ._rows import Rows, rows
from ._run import continuous, decoded, only_pictures, pictures, shown, which

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["interpolations"]


def interpolations(
    run: Run, *, n: int = 6, steps: int = 9, split: str | None = None, of: Rows | None = None
) -> Figure:
    """Pictures decoded along the way from one datum's code to another's, a pair a row.

    The way is straight or, where codes are directions, an arc of a great circle. Discrete elements
    keep the value of the left end, and so does a condition.

    Arguments:
        run: A run on pictures whose data can be read.
        n: Pairs.
        steps: Pictures along each way.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure; at both ends of a row the data themselves.

    Raises:
        OtherData: If the data are no pictures.
        NotApplicable: If they are out of reach or too few, or all elements are discrete.
    """
    only_pictures(run, "An interpolation")
    free = continuous(run, "An interpolation")
    found = rows(run, split=split, of=of)
    n = min(n, len(found) // 2)
    if n < 1:
        raise NotApplicable("An interpolation needs two data at least.")
    starts, stops = _pairs(found, n)
    z = torch.from_numpy(found.codes)
    part = torch.linspace(0, 1, steps)
    codes = []
    for a, b in zip(starts, stops, strict=True):
        end = z[a].clone()
        end[free] = z[b][free]
        codes.append(run.model.space.between(z[a], end, part))
    few = found.data.take(torch.tensor([*starts, *stops]))
    x, c, _ = shown(run, few, 2 * n)
    c = None if c is None else c[:n].repeat_interleave(steps, 0)
    ends = pictures(run, run.schema.array(x.cpu()))
    span = run.schema.span is None
    seen = pictures(
        run, run.schema.array(decoded(run, torch.cat(codes), c)), ends if span else None
    )
    seen = seen.reshape(n, steps, *seen.shape[1:])
    page = np.concatenate([ends[:n, None], seen, ends[n:, None]], axis=1)
    arc = "straight line" if run.model.space == REALS else "great circle"
    told = ""
    if c is not None and few.c is not None:
        same = bool((few.c[:n] == few.c[n:]).all())
        told = " Both ends have one condition." if same else " The condition is the left end's."
    caption = (
        f"Between the codes of two data {which(run)}, along a {arc} of codes: the mean of p(x|z) "
        f"at {steps} points of it; the outermost pictures are the data themselves.{told} Where "
        f"pictures between look like no datum, the latent space has holes.{size_note(ends)}"
    )
    ratio = ends.shape[1] / ends.shape[2]
    height = 7.2 / (steps + 2) * ratio * n + 0.9
    figure = new(7.4, height, "Interpolations", caption)
    ax = figure.subplots()
    flat = grid(page.reshape(-1, *page.shape[2:]), steps + 2)
    picture(ax, flat)
    cell = (flat.shape[1] + 2) / (steps + 2)
    places = [0.5 * cell, (steps / 2 + 1) * cell, (steps + 1.5) * cell]
    ax.set_xticks(places, ["datum", "decoded", "datum"], fontsize=8)
    ax.tick_params(length=0)
    return figure


def _pairs(found: Rows, n: int) -> tuple[list[int], list[int]]:
    """Returns the ends of n ways, spread over the data.

    They are of two classes where there are any, or of one condition where the model has one: then
    a way shows what the code says beside it.
    """
    spread = np.linspace(0, len(found) - 1, 2 * n).astype(int)
    starts, stops = spread[:n].tolist(), spread[n:].tolist()
    labels, c = found.labels, found.data.c
    for i, a in enumerate(starts):
        if c is not None:
            fit = (c == c[a]).all(1).cpu().numpy()
            fit[a] = False
        elif labels is not None:
            fit = labels != labels[a]
        else:
            break
        others = np.flatnonzero(fit)
        if len(others) and not fit[stops[i]]:
            stops[i] = int(others[np.searchsorted(others, stops[i]) % len(others)])
    return starts, stops
