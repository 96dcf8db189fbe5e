"""The verb `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ._options import Compile, Flag, Json, Marginal, Precision
from ._runs import data_of, first, open_run
from ._tables import SPLITS, print_diagnosis, print_evaluation, print_samples
from ._talk import Measuring, note, print_json
from ._words import on_command_line

__all__ = ["evaluate"]


def evaluate(
    run: Path,
    data: str | None = None,
    /,
    *,
    labels: str | None = None,
    full: Annotated[bool, Flag] = False,
    samples: Literal["draws", "means"] | None = None,
    marginal: Marginal = False,
    method: str | None = None,
    k: int | None = None,
    rows: int | None = None,
    seed: int = 0,
    precision: Precision = "float32",
    compile: Compile = "auto",
    json: Json = False,
) -> None:
    """Measures a run: bound, rate, distortion and log-likelihood with their errors.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted; the run's own test data if left out, or the
            validation data where there are none.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        full: Add a diagnosis: the rate and the slope of each latent element, the codes of all data
            together, what encoder and family of q lose of the bound, how calibrated q and the
            model are, and in words what is wrong, if anything, with the remedy.
        samples: Add how good the model's samples are beside the data, draws from p(x|z) or means
            of it: precision and recall, distances, a two-sample test, sharpness, and copies of
            training data. Where there are labels it trains a classifier for that.
        marginal: Of a model conditional on labels, log p(x), the sum over classes with the
            frequencies of the training data; DATA needs no labels then.
        method: How the log-likelihood is found: importance (from the posterior), prior (naively),
            annealed (chains from the prior to the posterior, without bias from q, a thousand
            times dearer) or exact (few models). Options stand in brackets:
            "annealed(temperatures=500, start=posterior)"; "importance(refine=300, form=full)"
            refines the posterior for each datum. It is importance if left out.
        k: Samples, or chains, of each datum for the log-likelihood: more is slower and higher. It
            is 1000, or 16 chains, if left out.
        rows: Measure so many data only, the first.
        seed: Keys the samples.
        precision: The type in which networks compute: bf16 is faster, float32 is for publication.
        compile: Whether to compile the decoder, which takes seconds; auto does for long work.
        json: Print one JSON object.
    """
    from .. import ranks
    from ..evaluate.likelihood import method_for
    from ..run.asked import held_out

    with ranks.joined():
        opened = open_run(run)
        by = method_for(opened.model, method, k)
        if data is None and labels is None:
            split, chosen = held_out(opened)
            where = SPLITS[split]
        else:
            where, chosen = str(data), data_of(opened, data, labels)
        if rows is not None:
            chosen = first(chosen, rows)
            where = f"the first {len(chosen)} of {where}"
        quality = None
        if samples is not None:
            with Measuring(f"comparing {samples} with data") as progress:
                quality = opened.sample_quality(
                    chosen,
                    mean=samples == "means",
                    seed=seed,
                    precision=precision,
                    progress=progress,
                )
        told = "measuring" if by is None else f"measuring by {by}"
        told = told if k is None else f"{told} with k={k}"
        with Measuring(told, then="diagnosing") as progress:
            found = opened.evaluate(
                chosen,
                method=method,
                k=k,
                marginal=marginal,
                seed=seed,
                precision=precision,
                compile=compile,
                full=full,
                progress=progress,
            )
    for sentence in found.notes:
        note(on_command_line(sentence))
    if json:
        beside = {} if quality is None else {"samples": quality.to_json()}
        print_json({"run": str(run), "data": where, **found.to_json(), **beside})
    else:
        print_evaluation(opened, found, where)
        if found.diagnosis is not None:
            print_diagnosis(found.diagnosis)
        if quality is not None:
            print_samples(quality)
