"""The verb `explore`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import DiaboloError
from ._runs import data_of, open_run
from ._talk import note, say

__all__ = ["explore"]


def explore(
    run: Path,
    data: str | None = None,
    /,
    *,
    labels: str | None = None,
    rows: int = 10_000,
    host: str = "127.0.0.1",
    port: int = 0,
    no_open: Annotated[bool, Parameter(name="--no-open", negative="")] = False,
) -> None:
    """Opens a page on which to look around in a run: a map, sliders, items, samples.

    It is for this machine alone, and for who has the address, which holds a secret. Ctrl-C ends it.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own test data if left out, or the
            validation data.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        rows: Show so many rows at most.
        host: Listen at this address of the machine instead, which others may reach.
        port: The port; any that is free if left out.
        no_open: Do not open a browser.
    """
    from ..explore.page import page
    from ..explore.scene import Scene
    from ..explore.server import LOOPBACK, browse, listening, packages, serve

    if rows < 1:
        raise DiaboloError(f"--rows is 1 or more, but got {rows}.")
    packages()
    page()  # what is lacking is told before any work
    listening(host, port).close()
    opened = open_run(run)
    found = data_of(opened, data, labels)
    print("Looking at the data ...", file=sys.stderr, flush=True)
    scene = Scene(opened, found, rows)
    if host not in (LOOPBACK, "localhost", "::1"):
        note(
            f"others can reach {host}: whoever has the address, or sees it on the network, can ask "
            "this run for anything that the page can."
        )

    def told(address: str) -> None:
        say(address)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)

    serve(scene, host=host, port=port, show=None if no_open else browse, told=told)
