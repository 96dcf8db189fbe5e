"""The verb `classify`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DiaboloError, DiaboloWarning
from ._options import Json
from ._output import destination, write
from ._runs import data_of, open_run, rows_of
from ._talk import note, print_json, say

if TYPE_CHECKING:
    from ..data import Data
    from ..run import Run

__all__ = ["classify"]

SHOWN = 10  # classes that are named


def classify(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    labels: str | None = None,
    labelled: str | None = None,
    how: Literal["probe", "finetune", "scratch"] | None = None,
    features: Literal["code", "hidden"] | None = None,
    seed: int | None = None,
    json: Json = False,
) -> None:
    """Writes the most probable class of each datum and the probability of each class.

    A model with classes of its own (recipe m2) tells them. From any other one a classifier learns
    first, by a few labels: those of the data themselves, or of a file beside them.

    Args:
        run: The folder of a run.
        data: A file of data like those fitted.
        out: The file; its extension gives the format: .npz, .csv, .parquet.
        labels: Where the labels to learn from are: a column, an array's key; `labels` takes those
            of a folder or a set. A row whose label is missing is not learned from.
        labelled: A file of data with these labels; without it DATA itself has them.
        how: `probe`, a logistic regression on the encoder's features (the default); `finetune`,
            which trains the encoder on; `scratch`, the same network from a random start.
        features: What is read of the encoder: its `code`, or what its last layer reads, `hidden`;
            the default takes the better one in cross-validation.
        seed: The seed of folds, start and order; 0 where it is not given.
        json: Print one JSON object.
    """
    import numpy as np

    destination(out, picture=False, several=True)
    opened = open_run(run)
    facts: dict[str, Any] = {}
    if opened.model.classifies or labels is None:
        given = {"labels": labels, "labelled": labelled, "how": how}
        given = {**given, "features": features, "seed": seed}
        idle = [name for name, value in given.items() if value is not None]
        if idle and opened.model.classifies:
            raise DiaboloError(f"This model has classes of its own: leave --{idle[0]} out.")
        if not opened.model.classifies:
            raise DiaboloError(
                "This model has no classes of its own: name the labels that a classifier is to "
                "learn from, --labels COLUMN (in DATA, or in --labelled FILE)."
            )
        rows = data_of(opened, data)
        q, classes = opened.classify(rows), opened.schema.conditions[0].classes
        told = np.array(classes)[q.argmax(1)]
    else:
        from ..tasks import classifier

        known, column = learned_from(opened, data if labelled is None else labelled, labels)
        with warnings.catch_warnings():
            if labels in opened.schema.columns:  # which is told already
                warnings.simplefilter("ignore", DiaboloWarning)
            found = classifier(
                opened, known, column, how=how or "probe", features=features, seed=seed or 0
            )
        rows = known if labelled is None else data_of(opened, data)
        q, classes = found.predict_proba(rows), found.classes
        told = found.values[q.argmax(1)]
        facts = {
            "how": found.how,
            "features": found.features,
            "labels": sum(found.counts),
            "held_out": found.held_out,
        }
    write(
        out,
        {"class": told, "q": q},
        names=[f"q({name})" for name in classes],
        rows=rows_of(rows),
    )
    if json:
        print_json({"out": str(out), "n": len(q), "classes": list(classes), **facts})
        return
    if facts:
        held = facts["held_out"]
        right = "" if held is None else f"; {held:.0%} right in cross-validation by the probe"
        say(f"{facts['how']} on {facts['features']} features, {facts['labels']} labels{right}")
    more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    say(f"the classes of {len(q)} data, of {', '.join(classes[:SHOWN])}{more}, are in {out}")


def learned_from(run: Run, source: str, labels: str) -> tuple[Data, Any]:
    """Returns the data of a file, and their labels as they stand there.

    Raises:
        DiaboloError: If there are none, or the data are not like those fitted.
    """
    from ..data.conditions import missing
    from ..data.found import Rows
    from ..data.loading import find
    from ..tasks._classes import classes_of

    config = replace(run.config.data, condition=None, labels=labels, labelled="some")
    found = find(source, config, features=run.schema.columns)
    rows = found.test or found.train
    if rows.labels is None:
        raise DiaboloError(f"There are no labels '{labels}' in '{source}'.")
    there = ~missing(rows.labels)
    if there.any():
        classes_of(rows.labels[there], what=labels)  # which refuses them by their name
    own = labels == "labels"  # beside the data, in no column of theirs
    if not own and labels in run.schema.columns:
        note(
            f"The run itself reads '{labels}', so that its features tell the answer, and the part "
            f"told right says nothing of rows without it: fit a run with --kinds {labels}=skip."
        )
    if rows.frame is not None:
        return run.schema.read(Rows(run.schema.numbered(rows).x)), rows.labels
    return data_of(run, source) if own else run.schema.data(rows.x), rows.labels
