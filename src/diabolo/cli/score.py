"""The verb `score`."""

from __future__ import annotations

from pathlib import Path

from ._options import Compile, Json, Marginal, Precision
from ._output import destination, write
from ._runs import data_of, open_run, rows_of
from ._talk import print_json, say

__all__ = ["score"]


def score(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    labels: str | None = None,
    marginal: Marginal = False,
    k: int = 100,
    seed: int = 0,
    precision: Precision = "float32",
    compile: Compile = "auto",
    json: Json = False,
) -> None:
    """Writes the log-likelihood of each datum, in nats, and which row or file it is of.

    It is the importance-weighted lower bound with k samples: low values are unlike the data
    that were fitted. Of a conditional model it is log p(x|c).

    Args:
        run: The folder of the run.
        data: A file of data like those fitted.
        out: The file; its extension gives the format: .npz, .npy, .csv, .parquet.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        marginal: Of a model conditional on labels, log p(x), the sum over classes with the
            frequencies of the training data; DATA needs no labels then.
        k: Posterior samples of each datum: more is slower and higher.
        seed: Keys the samples.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        compile: Whether to compile the decoder, which takes seconds; auto does for long work.
        json: Print one JSON object.
    """
    destination(out, picture=False)
    opened = open_run(run)
    rows = data_of(opened, data, labels)
    found = opened.score(
        rows, k=k, marginal=marginal, seed=seed, precision=precision, compile=compile
    )
    given = opened.model.condition and not (marginal or opened.model.classifies)
    name = "log_px_given_c" if given else "log_px"
    write(out, {name: found}, rows=rows_of(rows))
    mean, least, most = (float(f()) for f in (found.mean, found.min, found.max))
    if json:
        numbers = {"mean": mean, "min": least, "max": most, "unit": "nats"}
        print_json({"out": str(out), "n": len(found), "quantity": name, "k": k, **numbers})
    else:
        say(f"{len(found)} values of {name} (nats, k={k}) are in {out}")
        say(f"mean {mean:.3f}, from {least:.3f} to {most:.3f}")
