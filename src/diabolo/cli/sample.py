"""The verb `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._options import Flag, Json, Precision
from ._output import destination, write
from ._runs import label_value, open_run, picture_of, shows_pictures
from ._talk import print_json, say

__all__ = ["sample"]


def sample(
    run: Path,
    /,
    *,
    out: Path,
    n: Annotated[int, Parameter(name=("-n", "--n"))] = 64,
    label: str | None = None,
    mean: Annotated[bool, Flag] = False,
    seed: int = 0,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Draws new data from a run's model into a file.

    Args:
        run: The folder of the run.
        out: The file; its extension gives the format: .png, .npz, .npy, .csv, .parquet.
        n: How many.
        label: For a conditional model: the class of all samples, by name or number; for a
            continuous condition its value, such as 0.5 or "(0.5, 1.2)".
        mean: Write the mean of p(x|z) instead of a draw from it.
        seed: Keys the draws: the same seed gives the same samples.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    destination(out)
    opened = open_run(run)
    destination(out, picture=shows_pictures(opened))
    given = label_value(label, opened.schema.classes)
    x = opened.sample(n, label=given, mean=mean, seed=seed, precision=precision)
    write(out, {"x": x}, names=opened.schema.columns, picture=picture_of(opened, x))
    if json:
        print_json({"out": str(out), "n": n, "label": label, "mean": mean, "seed": seed})
    else:
        say(f"{n} samples are in {out}")
