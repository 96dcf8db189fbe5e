"""The verb `traverse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import DiaboloError
from ._options import Json
from ._output import destination, write
from ._runs import data_of, label_value, open_run, picture_of, row, shows_pictures
from ._talk import print_json, say

__all__ = ["traverse"]


def traverse(
    run: Path,
    data: str | None = None,
    /,
    *,
    out: Path,
    at: int | None = None,
    dims: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    steps: int | None = None,
    span: float | None = None,
    label: str | None = None,
    json: Json = False,
) -> None:
    """Decodes data while one latent element moves at a time: one element a row.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted, for --at; the run's own held-out data if left out.
        out: The file; its extension gives the format: .png, .npz, .npy, .csv, .parquet.
        at: The position of the datum around which to move, counted from 0; without it the mean of
            all codes.
        dims: Which latent elements, counted from 0; all that can move, by their rate, if left out.
        steps: How many values of each element: 9 if left out, or all values of discrete ones.
        span: How far to go, in standard deviations of the element: 3 if left out.
        label: For a conditional model: the class of all data.
        json: Print one JSON object.
    """
    import numpy as np

    from ..run.traversal import moving

    destination(out)
    opened = open_run(run)
    destination(out, picture=shows_pictures(opened))
    if data is not None and at is None:
        raise DiaboloError("DATA has an effect with --at only: say at which datum to begin.")
    start = None
    if at is not None:
        start = opened.encode(row(data_of(opened, data), at, "--at"))[0]
    given = label_value(label, opened.schema.classes)
    x = opened.traverse(start, dims=dims or None, steps=steps, span=span, label=given)
    chosen = moving(opened, dims or None, given is not None)
    if opened.schema.table is not None:
        count = len(x) // len(chosen)
        places = np.repeat(chosen, count), np.tile(np.arange(count), len(chosen))
        write(out, {"x": x}, rows=dict(zip(("element", "step"), places, strict=True)))
    else:
        count, flat = x.shape[1], x.reshape(-1, *x.shape[2:])
        arrays = {"x": x if out.suffix.lower() in (".npz", ".npy") else flat}
        write(out, arrays, names=opened.schema.columns, picture=picture_of(opened, flat, count))
    if json:
        print_json({"out": str(out), "dims": chosen, "steps": count, "span": span})
    else:
        say(
            f"{len(chosen)} latent elements ({', '.join(map(str, chosen))}) in {count} steps: {out}"
        )
