"""The look that all panels share, set on each figure and never globally."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint import atomic
from ..errors import DiaboloError, missing_extra

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "NotApplicable",
    "OtherData",
    "bare",
    "by_column",
    "literal",
    "new",
    "picture",
    "printed",
    "save",
    "short",
    "tidy",
]

BLUE, ORANGE, GREY = "#2f6db3", "#d9772b", "#5c5c5c"


COLUMNS = 12  # columns of a table that are shown at most


class NotApplicable(DiaboloError):
    """A figure that cannot be drawn of this run, with the reason."""


class OtherData(NotApplicable):
    """A figure of another kind of data, which nobody expects of this run."""


def new(width: float, height: float, title: str, caption: str) -> Figure:
    """Returns an empty figure with a title above and a caption below.

    Arguments:
        width: In inches.
        height: In inches.
        title: What is shown.
        caption: How to read it, with numbers and units.

    Raises:
        DiaboloError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "report", "A figure") from None
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    lines = "\n".join(textwrap.wrap(caption, round(width * 14)))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8.5, color=GREY)
    return figure


def by_column(
    names: Sequence[str], height: float, title: str, caption: str
) -> tuple[Figure, list[Axes]]:
    """Returns a figure of a table, and axes for its first columns, a dozen at most.

    Arguments:
        names: All its columns.
        height: Of one column's axes, in inches.
        title: What is shown.
        caption: How to read it; how many columns are left out is added.
    """
    d = len(names)
    few = min(d, COLUMNS)
    wide = min(few, 4 if few > 6 else 3)
    high = math.ceil(few / wide)
    if few < d:
        caption += f" The first {few} of {d} columns."
    figure = new(2.6 * wide + 0.4, height * high + 1.1, title, caption)
    axes = figure.subplots(high, wide, squeeze=False).flatten().tolist()
    for ax in axes[few:]:
        ax.set_visible(False)
    return figure, axes[:few]


def literal(text: str) -> str:
    """Returns a user's words as matplotlib is to write them: a dollar begins no formula."""
    return text.replace("$", r"\$")


def bare(ax: Axes) -> None:
    """Leaves nothing of the axes but what is drawn: for pictures."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def picture(ax: Axes, page: np.ndarray) -> None:
    """Shows a page of pictures, (H, W) or (H, W, 3) with values in [0, 1], and nothing else."""
    ax.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(ax)


def short(text: str, letters: int) -> str:
    """Returns text of so many letters at most."""
    return text if len(text) <= letters else f"{text[: letters - 1]}\u2026"


def tidy(ax: Axes, x: str, y: str) -> None:
    """Labels the axes and quietens the rest: for curves and points."""
    ax.set_xlabel(x, fontsize=9.5)
    ax.set_ylabel(y, fontsize=9.5)
    ax.tick_params(labelsize=8.5, color=GREY)
    ax.grid(True, color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def save(figure: Figure, path: Path, *, dpi: int = 130) -> None:
    """Writes a figure to a file, whole or not at all."""
    with atomic(path) as part:
        printed(figure, part, dpi=dpi)


def printed(figure: Figure, out: Any, **options: Any) -> None:
    """Writes a figure; letters that its font lacks, as of users' names, are boxes and no warnings.

    Arguments:
        figure: What a panel returned.
        out: A path or a file.
        options: Those of matplotlib's `savefig`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(out, **options)
