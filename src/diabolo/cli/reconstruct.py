"""The verb `reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ._options import Flag, Json, Precision
from ._output import destination, write
from ._runs import data_of, open_run, picture_of, shows_pictures
from ._talk import print_json, say

if TYPE_CHECKING:
    import numpy as np

__all__ = ["reconstruct"]

MOST, WIDE = 100, 10  # pictures at most in a PNG, and how many side by side


def reconstruct(
    run: Path,
    data: str | None = None,
    /,
    *,
    out: Path,
    labels: str | None = None,
    draw: Annotated[bool, Flag] = False,
    seed: int = 0,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Encodes data and decodes them again, into a file.

    A PNG shows each original above its reconstruction, for the first 100 data.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own held-out data if left out.
        out: The file; its extension gives the format: .png, .npz (with the originals), .npy,
            .csv, .parquet.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        draw: Draw z and x instead of taking their means.
        seed: Keys the draws.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    import torch

    destination(out)
    opened = open_run(run)
    destination(out, picture=shows_pictures(opened))
    rows = data_of(opened, data, labels)
    if out.suffix.lower() == ".png":
        rows = rows.take(torch.arange(min(MOST, len(rows))))
    again = opened.reconstruct(rows, mean=not draw, seed=seed, precision=precision)
    masks = [m.cpu() for m in rows.masks()] if opened.schema.table is not None else []
    mask = torch.cat(masks) if masks else None
    x = opened.schema.restore(torch.cat([b.x for b in rows.batches(500)]), mask=mask)
    write(
        out,
        {"reconstruction": again},
        names=opened.schema.columns,
        beside={"x": x},
        picture=lambda: picture_of(opened, _pairs(x, again), WIDE)(),
    )
    if json:
        print_json({"out": str(out), "n": len(again), "draw": draw, "seed": seed})
    else:
        say(f"{len(again)} reconstructions are in {out}")


def _pairs(x: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Returns rows of originals, each followed by the row of their reconstructions."""
    import numpy as np

    rows: list[np.ndarray] = []
    for start in range(0, len(x), WIDE):
        some = slice(start, start + WIDE)
        rows += [x[some], again[some]]
        if len(x[some]) < WIDE <= len(x):  # the last row is filled up with the first picture's 0
            gap = np.zeros_like(x[: WIDE - len(x[some])])
            rows[-2:] = [x[some], gap, again[some], gap]
    return np.concatenate(rows)
