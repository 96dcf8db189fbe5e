"""The verb `balance`."""

from __future__ import annotations

from pathlib import Path
from statistics import mean as average
from statistics import stdev
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import DiaboloError
from ._options import Flag, Json, Several, parse_set
from ._output import destination, kind_of, refuse_taken, write
from ._talk import Measuring, Training, note, print_json, print_table, say

if TYPE_CHECKING:
    import numpy as np

    from ..tasks import Referee

__all__ = ["balance"]


def balance(
    data: str,
    /,
    *,
    labels: Annotated[str, Parameter(name=("--labels", "--label"))],
    out: Path | None = None,
    recipe: str = "cvae",
    set: Annotated[list[str] | None, Several] = None,
    uneven: Annotated[bool, Flag] = False,
    draws: Annotated[bool, Flag] = False,
    referee: Annotated[bool, Flag] = False,
    folds: int | None = None,
    repeats: int | None = None,
    inner: int | None = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Fills up rare classes with rows that a conditional model draws, or judges whether that helps.

    The file has the rows of DATA and, after them, the drawn ones: the column `drawn` tells.
    With --referee nested cross-validation compares drawn rows with doing nothing, class weights,
    random oversampling and SMOTE, for one classifier (takes minutes; without --out nothing else
    is done).

    Args:
        data: A table, a file of arrays, a folder of images by class, or a named set.
        labels: Where the classes are: a column, an array's key; `labels` for those of a set.
        out: The file; its extension gives the format: .csv, .parquet, .npz.
        recipe: A model that draws by class: cvae or m2.
        set: Options of model and training, as for fit: latent=4 epochs=100.
        uneven: Show rows of rare classes in training as often as they are there, not more often.
        draws: Draw from p(x|z,y) instead of taking its mean, which tells classes better.
        referee: Judge by nested cross-validation.
        folds: With --referee, its outer folds; 5 where it is not given.
        repeats: With --referee, how often they are drawn anew; 2 where it is not given.
        inner: With --referee, its inner folds; 3 where it is not given.
        seed: The seed of everything.
        json: Print one JSON object.
    """
    from .. import tasks

    if out is None and not referee:
        raise DiaboloError("Say what is asked for: --out FILE, --referee, or both.")
    numbers: dict[str, Any] = {
        n: v for n, v in (("folds", folds), ("repeats", repeats), ("inner", inner)) if v is not None
    }
    if numbers and not referee:
        raise DiaboloError(f"--{next(iter(numbers))} has an effect with --referee only.")
    if out is not None:
        destination(out, picture=False, several=True)
    options: dict[str, Any] = {**parse_set(set or ()), "even": not uneven}
    if draws:
        options["mean"] = False
    x, y, columns, label, place = _rows(data, labels)
    if out is not None:
        refuse_taken((*columns, label), ("drawn",))
        refuse_taken((label,), ("x",))
    told: dict[str, Any] = {}
    if referee:
        with Measuring("nested cross-validation") as progress:
            verdict = tasks.referee(
                x, y, recipe, seed=seed, progress=progress, **numbers, **options
            )
        told["referee"] = verdict.to_json()
        if out is None:  # else the training says so
            for sentence in verdict.notes:
                note(sentence)
        if not json:
            print_referee(verdict)
    if out is not None:
        import numpy as np
        import pyarrow as pa

        from ._written import Written

        with Training(f"training on {data}") as listen:
            found = tasks.balance(x, y, recipe, seed=seed, progress=listen, **options)
        result = {"x": found.x, label: found.y, "drawn": found.drawn}
        if place is not None and kind_of(out) != ".npz":  # among the columns of a table
            names = [*columns[:place], label, *columns[place:]]
            table = found.x.append_column(label, pa.array(found.y)).select(names)
            result = {"x": table, "drawn": found.drawn}
        write(
            out,
            result,
            names=columns,
            written=Written(Path(data), np.where(found.drawn, -1, np.arange(len(found.y))), {}),
        )
        told |= {"out": str(out), "n": len(found.y), "drawn": dict(found.counts)}
        if not json:
            parts = ", ".join(f"{m} of {name}" for name, m in found.counts.items()) or "none"
            say(f"{len(found.y)} rows, of which {found.drawn.sum()} drawn ({parts}), are in {out}")
    if json:
        print_json(told)


def _rows(data: str, labels: str) -> tuple[Any, np.ndarray, tuple[str, ...], str, int | None]:
    """Returns rows, labels, the names of columns and that of the labels, and where these stand.

    Raises:
        DiaboloError: If the data cannot be read or there are no such labels.
    """
    import numpy as np
    import pyarrow as pa

    from ..config import DataConfig
    from ..data.loading import find
    from ..data.mapped import Mapped
    from ..tasks._classes import classes_of, refuse_names

    found = find(data, DataConfig(labels=labels))
    for sentence in found.notes:
        note(sentence)
    if found.train.labels is None:
        raise DiaboloError(f"There are no labels '{labels}' in '{data}'.")
    refuse_names(classes_of(found.train.labels, what=found.label), what=found.label)
    if found.train.frame is not None:
        table = pa.table(dict(found.train.frame.columns))
        every = [n for n in found.train.frame.every if n == found.label or n in found.columns]
        return table, found.train.labels, found.columns, found.label, every.index(found.label)
    x = found.train.x
    x = x.gather(np.arange(len(x))) if isinstance(x, Mapped) else x
    return x, found.train.labels, found.columns, found.label, None


def print_referee(found: Referee) -> None:
    """Prints each remedy's scores, the drawn rows beside each, near copies, and the verdict."""
    counts = ", ".join(f"{name} {n}" for name, n in found.counts.items())
    outer, repeats, inner = found.folds
    how = f"{outer} folds, drawn {repeats} times, {inner} inner folds; mean and spread over folds"
    metrics = list(found.scores)
    rows = [
        (name, *(_pair(v[name]) for v in found.scores.values()))
        for name in found.scores[metrics[0]]
    ]
    print_table(f"{found.classifier} ({how})", ("remedy", *metrics), rows, numbers=(1, 2, 3))
    say(f"  rows by class: {counts}; {found.drawn:.0f} rows drawn in a fold")
    say()
    gains = [
        (g.metric, g.other, f"{g.value:+.3f}", f"{g.stderr:.3f}", f"{g.p:.3f}", g.verdict)
        for g in found.gains
    ]
    header = ("metric", "drawn rows less", "difference", "stderr", "p", "")
    print_table("Drawn rows beside the other remedies", header, gains, numbers=(2, 3, 4))
    say("  stderr and p by the corrected resampled t test, p after Holm")
    say()
    near = [
        (name, str(n.rows), str(n.near), f"{n.expected:.0f}", f"{n.ratio:.2f}")
        for name, n in found.near.items()
    ]
    header = ("new rows of", "rows", "near copies", "expected", "distance ratio")
    print_table("How near new rows are to training rows", header, near, numbers=(1, 2, 3, 4))
    say("  near: as the nearest hundredth of rows held out; expected: of rows of the same law")
    say()
    say("VERDICT")
    for sentence in found.verdicts:
        say(f"  - {sentence}")
    say()


def _pair(values: tuple[float, ...]) -> str:
    return f"{average(values):.3f} ± {stdev(values):.3f}"
