"""The verb `interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._options import Json
from ._output import destination, write
from ._runs import data_of, label_value, open_run, picture_of, row, shows_pictures
from ._talk import print_json, say

__all__ = ["interpolate"]


def interpolate(
    run: Path,
    data: str | None = None,
    /,
    *,
    out: Path,
    a: Annotated[int, Parameter(name="--a")] = 0,
    b: Annotated[int, Parameter(name="--b")] = 1,
    steps: int = 10,
    label: str | None = None,
    json: Json = False,
) -> None:
    """Decodes the shortest path between the codes of two data: a line, or an arc on a sphere.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own held-out data if left out.
        out: The file; its extension gives the format: .png, .npz, .npy, .csv, .parquet.
        a: The position of the first datum, counted from 0.
        b: The position of the second.
        steps: How many data, both ends included.
        label: For a conditional model: the class given to both ends and all between.
        json: Print one JSON object.
    """
    destination(out)
    opened = open_run(run)
    destination(out, picture=shows_pictures(opened))
    rows = data_of(opened, data)
    ends = [opened.encode(row(rows, i, flag))[0] for i, flag in ((a, "--a"), (b, "--b"))]
    given = label_value(label, opened.schema.classes)
    x = opened.interpolate(*ends, steps=steps, label=given)
    write(out, {"x": x}, names=opened.schema.columns, picture=picture_of(opened, x, steps))
    if json:
        print_json({"out": str(out), "a": a, "b": b, "steps": steps, "label": label})
    else:
        say(f"{steps} data from {a} to {b} are in {out}")
