"""The verb `encode`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ._options import Flag, Json, Precision
from ._output import destination, write
from ._runs import data_of, open_run, rows_of
from ._talk import print_json, say

__all__ = ["encode"]


def encode(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    labels: str | None = None,
    variance: Annotated[bool, Flag] = False,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Writes the code of each datum, the mean of its posterior, and which row or file it is of.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted.
        out: The file; its extension gives the format: .npz, .npy, .csv, .parquet.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        variance: Write the posterior's variance too (not in .npy, which holds one array).
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    destination(out, picture=False, several=variance)
    opened = open_run(run)
    rows = data_of(opened, data, labels)
    codes = opened.encode(rows, variance=variance, precision=precision)
    arrays = {"z": codes.mean, "variance": codes.variance} if variance else {"z": codes}
    write(out, arrays, rows=rows_of(rows))
    n, size = arrays["z"].shape
    if json:
        print_json({"out": str(out), "n": n, "latent": size, "variance": variance})
    else:
        say(f"{n} codes of {size} latent elements are in {out}")
