"""What processes find that are started anew, since one of them was lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .. import ranks
from . import began as beginnings
from . import folder as folders

__all__ = ["restarted"]

UNNAMED = (None, "none")  # a launch to which the agent gives no name of its own


def restarted(
    place: Path | None, *, force: bool = False, say: Callable[[str], object] | None = None
) -> Literal["began", "ended"] | None:
    """Returns how far a training has come that this launch began before its processes were lost.

    Arguments:
        place: The folder of the run.
        force: Whether what lies there may be of another launch; then it counts only where its
            checkpoint names this one.
        say: Told of a checkpoint to go on from.

    Returns:
        `began` where there is a checkpoint to go on from, `ended` where the run is there, None
        where nothing is, or nothing was started anew.
    """
    if place is None or ranks.launch() is None:
        return None
    left = folders.left(place)
    # Where a host has gone, the agent starts anew what is left without counting it.
    again = ranks.restarts() > 0
    if left and ((again and not force) or ((again or not force) and _of_this_launch(left[0]))):
        if say is not None:
            start = ranks.restarts() + 1
            say(f"A process was lost: all go on from the checkpoint (start {start}).")
        return "began"
    return "ended" if again and not left and not force and folders.is_run(place) else None


def _of_this_launch(place: Path) -> bool:
    name = beginnings.read(place).launch
    return name not in UNNAMED and name == ranks.launch()
