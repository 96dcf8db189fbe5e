"""The verb `compare`."""

from __future__ import annotations

from pathlib import Path

from ._options import Json
from ._output import writable
from ._runs import open_run
from ._talk import Measuring, note, print_json, print_table, say
from ._words import on_command_line

__all__ = ["compare"]


def compare(
    *runs: Path,
    out: Path | None = None,
    data: str | None = None,
    labels: str | None = None,
    k: int | None = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Puts runs side by side: numbers, whether they differ by more than noise, and settings.

    Args:
        runs: The folders of the runs, two or more.
        out: A page with all of it, and with curves and samples: an .html file.
        data: A file of data like those fitted; the runs' own held-out data if left out, where these
            are the same for all.
        labels: For conditional models: where the labels of DATA are (a column, an array's key).
        k: Samples of each datum for the log-likelihood; 1000, or fewer for large data.
        seed: Keys all samples.
        json: Print one JSON object.
    """
    from ..reports import compare as make
    from ..reports._side import told

    if out is not None:
        writable(out.parent)
    opened = [open_run(run) for run in runs]
    with Measuring("comparing") as progress:
        found = make(*opened, data=data, labels=labels, k=k, out=out, seed=seed, progress=progress)
    for sentence in found.notes:
        note(on_command_line(sentence))
    if json:
        print_json({**found.to_json(), "out": None if out is None else str(out)})
        return
    columns = tuple(range(1, len(found.names) + 1))
    print_table("Side by side, means per datum", ("", *found.names), found.table, numbers=columns)
    if found.settings:
        print_table("Settings that differ", ("", *found.names), found.settings, numbers=columns)
    for each in found.differences:
        say(f"  {told(*each)}")
    if out is not None:
        say(f"The page is {out}")
