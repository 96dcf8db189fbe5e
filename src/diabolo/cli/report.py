"""The verb `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import DiaboloError
from ._finish import shown
from ._options import Flag, Force, Json
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
    interactive: Annotated[bool, Flag] = False,
    force: Force = False,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Writes one page on a run: what it is, how good it is, and all there is to see of it.

    The page is one HTML file that needs nothing else: no network, no other file. What was measured
    before is shown as it was; what is lacking is measured, and nothing is changed in the run. With
    --interactive it is a folder for any web space, in which anyone looks around in the run without
    a server: a map, sliders that decode in the browser, items, samples.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own held-out data if left out.
        out: The file, .html, or with --interactive the folder; RUN/report.html or RUN/explorer if
            left out.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        interactive: Write the folder in which to look around, instead of the page.
        force: Replace such a folder that is there already.
        seed: Keys all samples.
        json: Print one JSON object.
    """
    if interactive:
        _folder(run, data, out, labels, force=force, seed=seed, json=json)
        return
    if force:
        raise DiaboloError("--force is for the folder of --interactive: a page is written anew.")
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


def _folder(
    run: Path,
    data: str | None,
    out: Path | None,
    labels: str | None,
    *,
    force: bool,
    seed: int,
    json: bool,
) -> None:
    """Writes the explorer's page as a folder that needs no server."""
    from ..explore import write_folder

    if seed:
        raise DiaboloError("--seed is for the page: with --interactive leave it out.")
    if out is not None and out.suffix.lower() in (".html", ".htm"):
        raise DiaboloError(f"--interactive writes a folder, not a file: name one, not '{out}'.")
    place = out or run / "explorer"
    writable(place.parent)
    opened = open_run(run)
    given = None if data is None and labels is None else data_of(opened, data, labels)
    written = write_folder(opened, given, place, force=force, progress=None if json else note)
    if json:
        print_json({"run": str(run), "out": str(place)})
    else:
        say(f"The folder is {shown(written)}/: put it on any web space, or look at it with")
        say(f"  python -m http.server --directory {shown(written)}")


def write(run: Run, data: object, out: Path, *, seed: int = 0) -> Report:
    """Writes the page, and tells on the way how far it is."""
    from ..reports import report as make

    writable(out.parent)
    with Measuring("making a page") as progress:
        return make(run, data, out=out, seed=seed, progress=progress)
