"""The verb `search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ._ends import ending
from ._finish import shown
from ._options import Flag, Json, Several, parse_set, reading
from ._study import go_on, place_of
from ._talk import note, print_json, print_table, say

if TYPE_CHECKING:
    from ..study import Search, Trial

__all__ = ["search"]


def search(
    data: str,
    recipe: str | None = None,
    /,
    *,
    space: Annotated[tuple[str, ...], Several] = (),
    set: Annotated[tuple[str, ...], Several] = (),
    out: Path | None = None,
    trials: int = 20,
    minutes: float | None = None,
    pruner: Literal["median", "hyperband", "none"] = "median",
    keep: int = 3,
    seed: int = 0,
    resume: Annotated[bool, Flag] = False,
    labels: str | None = None,
    condition: Annotated[tuple[str, ...], Several] = (),
    valid: str | None = None,
    test: str | None = None,
    data_dir: Path | None = None,
    json: Json = False,
) -> int:
    """Searches for the options with the best validation ELBO.

    Each trial is an ordinary run. Several processes may search in one folder: all but the first
    say --resume.

    Args:
        data: What to fit, as for `diabolo fit`.
        recipe: The model, from `diabolo list recipes`.
        space: What is searched: latent=8..128:log learning_rate=1e-4..3e-3:log
            "batch_size=64|128"; if left out, the recipe's sizes, the network's width, the learning
            rate and the batch size, as far as --set does not give them.
        set: Options that are the same for every trial: epochs=30 prior=flow.
        out: The folder of the search; a new one in runs/ if left out.
        trials: How many trials there are to be, of all processes together.
        minutes: Begin no trial after so many minutes, and stop the one under way.
        pruner: How trials that do worse than others are ended early.
        keep: How many of the best runs keep their weights.
        seed: Decides with a trial's number what is chosen for it and how it trains.
        resume: Go on with the search in --out, or join it; all other words are to be as they were.
        labels: Where the labels are: a column's name, an array's key, or none.
        condition: What a conditional model reads: labels, or names of columns.
        valid: The part of the data held out for validation, their number, or a file of data.
        test: A file of data for the final numbers, which choose nothing.
        data_dir: The folder in which named sets and their files are looked for.
        json: Print one JSON object at the end.
    """
    name = f"{Path(data).stem}-{recipe or 'vae'}-search"
    place = place_of("search", out, name, resume=resume)
    options = parse_set(set, data_dir=None if data_dir is None else str(data_dir))
    read = reading(options, labels=labels, condition=condition, valid=valid)

    from .. import study

    found = study.search(
        data,
        recipe,
        out=place,
        space=space or None,
        trials=trials,
        minutes=minutes,
        pruner=pruner,
        keep=keep,
        seed=seed,
        resume=resume,
        progress=_tell,
        **read,
        test=test,
        **options,
    )
    if json:
        print_json(found.to_json())
    else:
        _report(found)
    if found.stopped in ("interrupt", "terminate"):
        return ending(found.stopped == "terminate")[1]
    return 0


def _tell(event: str | Trial) -> None:
    """Says a note, or how a trial ended, on stderr."""
    if isinstance(event, str):
        note(event)
        return
    value = event.value if event.value is not None else event.last
    reached = "" if value is None else f", validation {value:.2f} nats"
    why = f" ({event.note})" if event.note else ""
    told = f"trial {event.number}: {event.state} after epoch {event.epochs}{reached}{why}"
    print(f"{told}  {_words(event.options)}", file=sys.stderr, flush=True)


def _words(options: Any) -> str:
    return " ".join(f"{n}={_short(v)}" for n, v in options.items())


def _short(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


def _report(found: Search) -> None:
    """Prints the table of the trials, best first, and how to go on."""
    rest = [t for t in found.trials if t.state != "complete"]
    rows = [
        (
            str(t.number),
            t.state,
            "" if t.value is None else f"{t.value:.3f}",
            str(t.epochs),
            _words(t.options),
        )
        for t in [*found.complete, *rest]
    ]
    header = ("trial", "state", "ELBO", "epochs", "chosen")
    title = f"{len(found.trials)} trials, best first by validation ELBO in nats"
    print_table(title, header, rows, numbers=(0, 2, 3))
    if found.importance:
        told = ", ".join(f"{n} {part:.0%}" for n, part in found.importance.items())
        say(f"What decided: {told}")
    place = shown(found.folder)
    if found.complete:
        say(f"The best run is in {place}/best/")
        if found.command:
            say(f"To repeat it: {found.command}")
        say(found.caution)
    if found.stopped != "trials":
        go_on("search", found.folder)
