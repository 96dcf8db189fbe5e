"""The verb `completion`."""

from __future__ import annotations

from typing import Annotated, Literal

from . import make_app
from ._options import Flag
from ._talk import say

__all__ = ["completion"]


def completion(
    shell: Literal["bash", "zsh", "fish", "powershell"] | None = None,
    /,
    *,
    install: Annotated[bool, Flag] = False,
) -> None:
    """Prints or installs completion of commands and options for a shell.

    Args:
        shell: Which shell; the one that is running if left out.
        install: Put it where the shell finds it, instead of printing it.
    """
    app = make_app()
    if install:
        path = app.install_completion(shell=shell)
        say(f"Completion is in {path}; it holds from the next shell on.")
    else:
        say(app.generate_completion(shell=shell))
