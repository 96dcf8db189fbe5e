"""The verb `anomalies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ._options import Flag, Json, Precision
from ._output import destination, write
from ._runs import data_of, open_run, rows_of
from ._talk import note, print_json, print_table, say

if TYPE_CHECKING:
    import numpy as np

    from ..run import Run

__all__ = ["anomalies"]

SHOWN = 5  # of the strangest rows


def anomalies(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    score: str | None = None,
    contamination: float | None = None,
    fdr: float | None = None,
    reference: str | None = None,
    attribution: Annotated[bool, Flag] = False,
    labels: str | None = None,
    seed: int = 0,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Writes how strange each datum is to a model, and which ones to flag.

    Flags by --contamination take the strangest part of DATA. Flags by --fdr stand on p-values
    beside normal data: of all data flagged, that part is expected to be false alarms.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted.
        out: The file; its extension gives the format: .npz, .csv, .parquet.
        score: What is measured, larger for stranger data: excess, log_likelihood, margins, bound,
            distortion, rate, typicality, regret, latent_distance, or for images complexity, with
            options: "log_likelihood(k=1000)". If left out it is complexity for images of grey
            levels or bits, and else excess.
        contamination: The part of DATA to flag.
        fdr: The false-discovery rate to keep.
        reference: A file of data known to be normal, for p-values and for scores that learn of
            normal data; the run's validation data if left out.
        attribution: Add the part of each column or pixel in the distortion, in nats.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        seed: Keys the samples.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    asked = (contamination, fdr, reference)
    several = attribution or any(given is not None for given in asked)
    destination(out, picture=False, several=several)
    opened = open_run(run)
    rows = data_of(opened, data, labels)
    beside = None if reference is None else data_of(opened, reference, labels)
    from ..tasks import anomalies as find

    found = find(
        opened,
        rows,
        score=score,
        contamination=contamination,
        fdr=fdr,
        reference=beside,
        attribution=attribution,
        seed=seed,
        precision=precision,
    )
    for sentence in found.notes:
        note(sentence)
    columns: dict[str, np.ndarray] = {"score": found.scores}
    if found.p_values is not None:
        columns["p_value"] = found.p_values
    if found.flags is not None:
        columns["flag"] = found.flags
    names = None
    if found.attribution is not None:
        columns["part_of"] = found.attribution
        names = _names(opened, found.attribution[0].size)
    which = rows_of(rows)
    write(out, columns, names=names, rows=which)
    if json:
        print_json({"out": str(out), **found.to_json()})
        return
    flagged = "" if found.flags is None else f", {int(found.flags.sum())} flagged"
    say(f"{len(found)} scores ({found.score}){flagged} are in {out}")
    (title, index), *_ = which.items()
    print_table(
        f"the strangest of {len(found)}",
        (title, *(c for c in columns if c != "part_of")),
        [
            (str(index[i]), *(_cell(v[i]) for c, v in columns.items() if c != "part_of"))
            for i in found.order[:SHOWN]
        ],
    )


def _names(run: Run, size: int) -> list[str]:
    """Returns what the columns of the attribution are called."""
    if run.schema.layout == "vector" and len(run.schema.columns) == size:
        return [f"part_of_{name}" for name in run.schema.columns]
    return [f"part_of_{i}" for i in range(size)]


def _cell(value: np.generic) -> str:
    """Returns a number or a flag as it is printed."""
    return ("yes" if value else "no") if value.dtype == bool else f"{float(value):.4g}"
