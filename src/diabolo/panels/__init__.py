"""Figures of a run: `panels/<name>.py` defines `<name>(run, ...) -> Figure`.

The folder is the list. A panel that does not apply to a run (a manifold of tables, samples of an
autoencoder) says so by raising `NotApplicable` with a sentence. Figures are made with
matplotlib's objects: no global state is read or changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..registry import Registry
from ._curve import rate_distortion
from ._figure import NotApplicable, OtherData, save

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["PANELS", "QUICK", "NotApplicable", "draw_all", "rate_distortion", "save"]

PANELS = Registry("panel", __name__)

# Those that are drawn after each training, in a second or two; a report has the others too.
QUICK = ("latent_map", "learning_curve", "manifold", "reconstructions", "samples")


def draw_all(run: Run, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Draws every quick panel that applies into `folder/<name>.png`.

    Returns:
        The files by the panel's name, and the reason for each that does not apply, though one
        would expect it of such data.

    Raises:
        DiaboloError: If matplotlib is not installed.
    """
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for name in QUICK:
        try:
            figure = PANELS.load(name)(run)
        except OtherData:
            continue
        except NotApplicable as reason:
            left_out[name] = str(reason)
            continue
        files[name] = folder / f"{name}.png"
        save(figure, files[name])
    return files, left_out
