"""The verb `demo`."""

from __future__ import annotations

from pathlib import Path

from ..errors import DiaboloError, missing_extra
from ._finish import again as command
from ._finish import report, shown
from ._options import Force, Json
from ._runs import open_run
from ._talk import note, say
from .fit import train

__all__ = ["demo"]


def demo(*, out: Path = Path("runs/demo"), force: Force = False, json: Json = False) -> int:
    """Trains a variational autoencoder on handwritten digits: one minute, nothing to download.

    It leaves a run with its numbers, its figures and a page on all of it. Where one is already, it
    is shown again.

    Args:
        out: The folder of the run.
        force: Train anew and replace the run that is there.
        json: Print one JSON object.
    """
    if (out / "run.json").exists() and not force:
        again(out, json=json)
        code = 0
    else:
        code = train("digits", out, {}, k=1000, json=json, force=force)
    if code == 0 and not json:
        place = shown(out.resolve())
        page = _page(out)
        say()
        say("What to do next:")
        say(f"  open {page}" if page else f"  look at {place}/figures/")
        say(f"  diabolo sample {place} -n 100 --out samples.png")
        say(f"  diabolo evaluate {place} --k 5000")
        say("  diabolo fit digits --condition labels --out runs/by-class")
        say("  diabolo list")
    return code


def _page(out: Path) -> str:
    """Writes the page of the run, where its packages are installed, and returns where it lies."""
    from importlib.util import find_spec

    from .report import write

    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            note(str(missing_extra(package, "report", "A report")))
            return ""
    write(open_run(out), None, out / "report.html")
    return shown((out / "report.html").resolve())


def again(out: Path, *, json: bool) -> None:
    """Shows a demo that is there already."""
    from ..run import load

    try:
        run = load(out)
    except DiaboloError as error:
        raise DiaboloError(f"{error} Train it anew with: diabolo demo --force.") from None
    if run.history.stopped == "interrupt":
        note(f"This demo was interrupted. Train it to the end with: {command(out)}.")
    else:
        note(f"{out} is there already. Train it anew with: diabolo demo --force.")
    found = run.evaluate(k=1000)
    figures = {p.stem: p.resolve() for p in sorted((out / "figures").glob("*.png"))}
    run.folder = out.resolve()
    report(run, found, figures, [], json=json)
