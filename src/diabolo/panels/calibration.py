"""Whether the probabilities of a model mean what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import DiaboloError
from ..evaluate import Diagnosis, pit, posterior_ranks, reliability
from ..evaluate.passes import some
from ._figure import BLUE, GREY, ORANGE, NotApplicable, new, tidy
from ._rows import Rows, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..run import Run

__all__ = ["calibration"]

MOST = 1000  # data, and simulated ones
TITLES = {
    "posterior_ranks": "posterior q(z|x)",
    "pit": "model p(x), by element",
    "reliability": "bits",
}


def calibration(
    run: Run,
    *,
    seed: int = 0,
    split: str | None = None,
    of: Rows | None = None,
    diagnosis: Diagnosis | None = None,
) -> Figure:
    """Ranks that ought to be uniform, of the posterior and of the model; bits by their probability.

    Arguments:
        run: A run whose data can be read.
        seed: Keys the noise.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.
        diagnosis: Where this was found already.

    Returns:
        The figure: histograms of ranks with the band of what chance makes, and bits.

    Raises:
        NotApplicable: If nothing of it has a meaning for the model, or there are too few data.
    """
    told, why = _known(diagnosis) if diagnosis is not None else _asked(run, seed, split, of)
    if not told:
        raise NotApplicable(why or "Nothing of this model's probabilities can be checked.")
    caption = (
        "Ranks are even (dashed, with the band that holds 95% of a bin's counts by chance) if "
        "probabilities mean what they say: a bowl tells of densities that are too narrow, a hill "
        "of too wide ones, a slope of ones that lie to one side."
    )
    if "reliability" in told:
        caption += " Bits on the line are ones as often as was predicted."
    caption += " " + " ".join(n for found in told.values() for n in found["notes"][:1])
    figure = new(3.1 * len(told) + 0.4, 3.6, "Calibration", caption)
    axes = figure.subplots(1, len(told), squeeze=False)[0]
    for ax, (name, found) in zip(axes, told.items(), strict=True):
        (_bits if name == "reliability" else _ranks)(ax, found)
        ax.set_title(TITLES[name], fontsize=9.5, loc="left")
    return figure


def _known(diagnosis: Diagnosis) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Returns what a diagnosis found, by its name, and why it found nothing."""
    told: dict[str, Mapping[str, Any]] = {}
    why = ""
    for section in diagnosis.sections:
        here = {name: section.json[name] for name in TITLES if name in section.json}
        told |= here
        if "probabilities" in section.title:
            why = " ".join(section.notes)
    return told, why


def _asked(
    run: Run, seed: int, split: str | None, of: Rows | None
) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Returns what is found now, by its name, and why what is not found is not."""
    found = rows(run, split=split, of=of)
    data = some(found.data, MOST, seed)
    c = data.c
    c = None if c is None else c[torch.arange(MOST) % len(c)]
    asked: dict[str, Callable[[], Any]] = {
        "posterior_ranks": lambda: posterior_ranks(run.model, MOST, c, seed=seed),
        "pit": lambda: pit(run.model, data, seed=seed),
    }
    if data.support == "binary":
        asked["reliability"] = lambda: reliability(run.model, data, seed=seed)
    told: dict[str, Mapping[str, Any]] = {}
    why: list[str] = []
    for name, ask in asked.items():
        try:
            told[name] = ask().to_json()
        except DiaboloError as error:
            why.append(str(error))
    return told, " ".join(why)


def _ranks(ax: Axes, found: Mapping[str, Any]) -> None:
    counts = np.array(found["counts"], dtype=float)  # (D, M)
    each = counts.sum(0)
    bins = len(each)
    share = each / max(each.sum(), 1) * bins
    places = (np.arange(bins) + 0.5) / bins
    ax.bar(places, share, 0.92 / bins, color=BLUE, alpha=0.8)
    # Elements of one datum depend on each other, so that the band is that of whole data.
    n = counts.sum(1).max(initial=1.0)
    half = 1.96 * np.sqrt((bins - 1) / max(n, 1.0))
    ax.axhline(1.0, color=GREY, lw=1, ls="--")
    ax.axhspan(max(0.0, 1 - half), 1 + half, color=GREY, alpha=0.15, lw=0)
    tidy(ax, "rank, from the lowest to the highest", "frequency over that of even ranks")
    ax.set_xlim(0, 1)


def _bits(ax: Axes, found: Mapping[str, Any]) -> None:
    predicted, observed, error = (
        np.array([np.nan if v is None else v for v in found[name]], dtype=float)
        for name in ("predicted", "observed", "stderr")
    )
    ax.axline((0, 0), slope=1, color=GREY, lw=1, ls="--")
    ax.errorbar(predicted, observed, 1.96 * error, fmt="o", ms=4, color=ORANGE, elinewidth=1)
    tidy(ax, "predicted probability of a one", "part that are ones")
    ax.set(xlim=(0, 1), ylim=(0, 1))
