"""The verb `classify`."""

from __future__ import annotations

from pathlib import Path

from ._options import Json
from ._output import destination, write
from ._runs import data_of, open_run, rows_of
from ._talk import print_json, say

__all__ = ["classify"]


def classify(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    json: Json = False,
) -> None:
    """Writes the most probable class of each datum and the probability of each class.

    Args:
        run: The folder of a run whose model classifies (recipe m2).
        data: A file of data like those fitted; its labels, if it has any, are not looked at.
        out: The file; its extension gives the format: .npz, .csv, .parquet.
        json: Print one JSON object.
    """
    import numpy as np

    destination(out, picture=False)
    opened = open_run(run)
    rows = data_of(opened, data)
    q = opened.classify(rows)
    classes = opened.schema.conditions[0].classes
    write(
        out,
        {"class": np.array(classes)[q.argmax(1)], "q": q},
        names=[f"q({name})" for name in classes],
        rows=rows_of(rows),
    )
    if json:
        print_json({"out": str(out), "n": len(q), "classes": list(classes)})
    else:
        say(f"the classes of {len(q)} data, of {', '.join(classes)}, are in {out}")
