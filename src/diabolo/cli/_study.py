"""What the verbs of many trainings share: where they write, and how to go on with them."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..errors import DiaboloError
from ._finish import shown
from ._output import writable
from ._talk import say

__all__ = ["go_on", "place_of"]


def place_of(what: str, out: Path | None, name: str, *, resume: bool) -> Path:
    """Returns the folder of a study: `--out`, or a new one in `runs`.

    Arguments:
        what: What the study is called.
        out: The folder that was named.
        name: What a new one is called.
        resume: Whether the study is to go on.

    Raises:
        DiaboloError: If none is named to go on with, or it cannot be written.
    """
    from ..run.folder import free

    if resume and out is None:
        raise DiaboloError(f"--resume goes on with the {what} in a folder: name it with --out.")
    place = out or free(Path("runs") / name)
    writable(place.parent)
    return place


def go_on(what: str, folder: Path) -> None:
    """Says how to go on with a study that was stopped."""
    again = f"--out {shlex.quote(shown(folder))} --resume"
    say(f"The {what} was stopped; go on with the same command and {again}")
