"""The verb `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._finish import shown
from ._options import Json
from ._output import writable
from ._runs import data_of, open_run
from ._talk import Measuring, note, print_json, say
from ._words import on_command_line

if TYPE_CHECKING:
    from ..reports import Report
    from ..run import Run

__all__ = ["report", "write"]


def report(
    run: Path,
    data: str | None = None,
    /,
    *,
    out: Path | None = None,
    labels: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Writes one page on a run: what it is, how good it is, and all there is to see of it.

    The page is one HTML file that needs nothing else: no network, no other file. What was measured
    before is shown as it was; what is lacking is measured, and nothing is changed in the run.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own held-out data if left out.
        out: The file, .html; RUN/report.html if left out.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        seed: Keys all samples.
        json: Print one JSON object.
    """
    opened = open_run(run)
    given = None if data is None and labels is None else data_of(opened, data, labels)
    found = write(opened, given, out or run / "report.html", seed=seed)
    for name, reason in found.left_out.items():
        note(f"No figure {name}: {on_command_line(reason)}")
    if json:
        told = {"run": str(run), "out": str(found.path), "bytes": len(found.html.encode())}
        print_json({**told, "figures": list(found.figures), "left_out": found.left_out})
    else:
        size = len(found.html.encode()) / 1e6
        say(f"{len(found.figures)} figures and all numbers, {size:.1f} MB: {shown(found.path)}")


def write(run: Run, data: object, out: Path, *, seed: int = 0) -> Report:
    """Writes the page, and tells on the way how far it is."""
    from ..reports import report as make

    writable(out.parent)
    with Measuring("making a page") as progress:
        return make(run, data, out=out, seed=seed, progress=progress)
