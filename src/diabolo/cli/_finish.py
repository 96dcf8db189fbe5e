"""What follows a training: the numbers, the figures, and where all of it lies."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiaboloError, missing_extra
from ..signals import Terminated
from ._ends import ending
from ._tables import SPLITS, print_evaluation
from ._talk import Measuring, duration, note, print_json, say
from ._words import on_command_line

if TYPE_CHECKING:
    from ..evaluate import Evaluation
    from ..run import Interrupted, Run
    from ..train import Row

__all__ = ["again", "cut_off", "draw", "interrupted", "measure", "report", "shown", "tracked"]


def measure(run: Run, k: int | None) -> Evaluation:
    """Evaluates a run on its held-out data, and stores the numbers with it.

    Arguments:
        run: The run.
        k: Posterior samples a datum; None takes 1000, or fewer for large data. Where there is
            nothing to sample a note says so: a training that is done is not to be lost.
    """
    from ..evaluate.passes import samples_for
    from ..run.asked import held_out

    _, data = held_out(run)
    what = "one held-out datum" if len(data) == 1 else f"{len(data)} held-out data"
    if run.model.deterministic or run.model.exact:
        if k is not None:
            note(f"--k {k} has no effect on this model: nothing is estimated from samples.")
        k = None
    else:
        k = samples_for(len(data)) if k is None else k
        what += f" with k={k}"
    with Measuring(f"measuring {what}") as progress:
        found = run.evaluate(k=k, progress=progress)
    if run.folder is not None:
        run.save()
    return found


def draw(run: Run) -> dict[str, Path]:
    """Draws every figure that applies into the run's folder; returns the files by name."""
    from importlib.util import find_spec

    from ..panels import draw_all

    assert run.folder is not None
    if find_spec("matplotlib") is None:
        note(str(missing_extra("matplotlib", "report", "A figure")))
        return {}
    try:
        files, left_out = draw_all(run, run.folder / "figures")
    except OSError as error:  # a full disk; the run itself is written
        raise DiaboloError(
            f"The run is in {shown(run.folder)}/, but its figures cannot be written: "
            f"{error.strerror or error}."
        ) from None
    for name, reason in left_out.items():
        note(f"No figure {name}: {reason}")
    return files


def tracked(run: Run, figures: dict[str, Path]) -> None:
    """Gives the numbers and the figures to the trackers that a run has."""
    from ..trackers import Tracking

    assert run.folder is not None
    tracking = Tracking.again(run.folder, run.folder.name, say=note)
    tracking.end(run.metrics, run.history.stopped, figures)


def _aim_met(run: Run, best: Row) -> str | None:
    """Returns where a training that aims at a rate or a distortion ended."""
    from ..objectives import Schedule

    objective = run.recipe.objective
    if not isinstance(objective, Schedule) or objective.aim is None:
        return None
    of, nats = objective.aim
    met = sum(best.rate) if of == "rate" else best.distortion
    return f"Its {of} in training was {met:.2f} nats, where {nats:g} were aimed at."


def report(
    run: Run, found: Evaluation, figures: dict[str, Path], notes: list[str], *, json: bool
) -> None:
    """Prints the table, where the run lies and what can be done with it.

    Arguments:
        run: The run, saved.
        found: Its numbers.
        figures: The files of its figures.
        notes: What was said of the data on the way.
        json: Print one JSON object instead.
    """
    rows = run.history.rows
    skipped = sum(row.skipped for row in rows)
    for sentence in found.notes:
        note(on_command_line(sentence))
    split = run.metrics["evaluation"]["split"]
    if json:
        value: dict[str, Any] = {
            "run": str(run.folder),
            "recipe": run.config.recipe,
            "epochs": len(rows),
            "seconds": rows[-1].seconds if rows else 0.0,
            "stopped": run.history.stopped,
            "skipped": skipped,
            "split": split,
            **found.to_json(),
            "figures": {name: str(path) for name, path in figures.items()},
            "notes": [*notes, *found.notes],
        }
        print_json(value)
        return
    best = run.history.best
    print_evaluation(run, found, SPLITS[split])
    if best is not None:
        say(
            f"{_epochs(len(rows))} in {duration(rows[-1].seconds)}; the weights are those of epoch "
            f"{best.epoch}, the best on validation data."
        )
        if met := _aim_met(run, best):
            say(met)
    if skipped:
        taken = "1 step was" if skipped == 1 else f"{skipped} steps were"
        say(f"{taken} skipped, since a number was not finite.")
    say(f"The run is in {shown(run.folder)}/")
    for name, path in figures.items():
        say(f"  {name:<16} {shown(path)}")
    say(f"All of it on one page: diabolo report {shlex.quote(shown(run.folder))}")


def shown(path: Path | None) -> str:
    """Returns a path as one would type it here."""
    assert path is not None
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def interrupted(error: Interrupted) -> int:
    """Says what an interrupted training left, and returns the exit code."""
    from ..run.folder import is_run

    run, place = error.run, error.place
    assert place is not None
    word, code = ending(error.terminated)
    if run.folder is not None:
        left = f"a usable run is in {shown(run.folder)}/"
    elif is_run(place):
        kept = "nothing of this one" if error.left is None else "this one beside it"
        left = f"the former run in {shown(place)}/ stands, and {kept} was kept"
    else:
        left = "nothing was saved"
    when = f"after {_epochs(len(run.history.rows))}"
    if run.history.stopped != "interrupt":
        when = "after training"
    on = "" if error.left is None else f"; go on with: {again(place)}"
    print(f"diabolo: {word} {when}; {left}{on}", file=sys.stderr)
    return code


def cut_off(error: KeyboardInterrupt, place: Path) -> int:
    """Says what is there after an end without a step more, and returns the exit code.

    Raises:
        KeyboardInterrupt: If nothing is there; that is told where errors become exit codes.
    """
    from ..run.folder import left

    if not left(place.resolve()):
        raise error
    word, code = ending(isinstance(error, Terminated))
    told = f"the last checkpoint is kept; go on with: {again(place)}"
    print(f"diabolo: {word}; {told}", file=sys.stderr)
    return code


def again(place: Path) -> str:
    """Returns the command that goes on with a training into a folder."""
    return f"diabolo fit --resume {shlex.quote(shown(place))}"


def _epochs(n: int) -> str:
    return f"{n} epoch" if n == 1 else f"{n} epochs"
