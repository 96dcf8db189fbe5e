"""Going on with a training that was interrupted or killed, as if it had never been."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import ranks
from ..checkpoint import states, verify
from ..config import resolve
from ..errors import DiaboloError
from ..model import Recipe
from ..registry import keywords
from ..trackers import Tracking
from . import began as beginnings
from . import folder as folders
from .began import Began
from .fit import Plan, sort_words
from .load import load
from .menu import checked, takers
from .menu import find as find_recipe
from .restarted import restarted
from .run import Run
from .training import Event, Fitting
from .workshop import workshop

__all__ = ["resume"]


def resume(
    folder: str | Path,
    data: Any = None,
    *,
    recipe: str | Callable[..., Recipe] | None = None,
    labels: Any = None,
    condition: Any = None,
    valid: Any = None,
    test: Any = None,
    start: Run | str | Path | None = None,
    progress: Callable[[Event], object] | None = None,
    **options: Any,
) -> Run:
    """Goes on with a training into a folder that was interrupted or killed, from its last state.

    Nothing but the folder has to be named: what the training began with is read from there. What
    was passed in memory is to be passed again, and is known by its fingerprint. All else that is
    given is compared; what may be changed is `epochs`, `minutes`, `patience`, `device` and
    `checkpoint_minutes`.

    Arguments:
        folder: The folder of the run, the `out` of `fit`.
        data: The data, if they were passed in memory or have moved.
        recipe: The recipe, if it is a function of the user's own.
        labels: As they were passed to `fit`, likewise the next three.
        condition: What a conditional model reads.
        valid: The data for validation.
        test: The data for the final numbers.
        start: The run from whose weights training began.
        progress: Called as `fit` does; epochs that had ended before are not told again.
        options: Options of the recipe, the data and the training.

    Returns:
        The run, bit for bit that of a training that was never stopped, where what computes is
        the same; a note tells what is not.

    Raises:
        DiaboloError: If there is nothing to resume, no state is sound, or something differs from
            what the training began with.
        Diverged: If too many numbers are not finite.
        Interrupted: At Ctrl-C or SIGTERM.
    """
    place = Path(folder).resolve()
    with contextlib.ExitStack() as stack:
        stack.enter_context(ranks.joined())

        if ranks.first(lambda: restarted(place, say=progress)) == "ended":
            return load(place)

        def open_workshop() -> tuple[Path, Path, list[str]]:
            folders.refuse(place, force=True)
            part = stack.enter_context(workshop(place, resume=True))
            return part, *find(place)

        part, state, notes = ranks.first(open_workshop)
        former = state.parent.parent
        before = beginnings.read(former)
        _same_start(before, start)
        passed = {"labels": labels, "condition": condition, "valid": valid, "test": test}
        plan = _plan(before, recipe, data, passed, options)
        run = plan.run(ranks.in_turn(plan.read))
        now = Began.of(run, {**plan.given(), "start": before.there("start")})
        told = beginnings.differences(before, now)
        if told is not None:
            raise DiaboloError(told)
        run.notes += tuple(notes)
        with ranks.agree():
            tracking = Tracking.again(former, place.name, into=part, say=progress)
        stack.callback(tracking.close)
        fitting = Fitting(run, place, part, now.since(before), progress, tracking, state)
        fitting.begin()
        return fitting.train()


def find(folder: Path) -> tuple[Path, list[str]]:
    """Returns the last sound state of a training into a folder, and what is to be said of others.

    Raises:
        DiaboloError: If there is none.
    """
    notes: list[str] = []
    first: Began | None = None
    for place in folders.left(folder):
        if first is not None and beginnings.differences(first, beginnings.read(place)):
            break  # a state of another training, which this one is to replace
        for path in states(place / folders.STATE):
            try:
                verify(path)
            except DiaboloError as error:
                notes.append(str(error))
                continue
            if notes:
                notes.append(f"Going on from the state before it, {path}.")
            return path, notes
        first = beginnings.read(place)
    if notes:
        raise DiaboloError(f"{notes[0]} There is no other state: begin anew with force.")
    if folders.is_run(folder):
        raise DiaboloError(
            f"There is nothing to resume: the training of {folder} has ended, and left no "
            "checkpoint. To train on from its weights, begin a new run from it (start=)."
        )
    raise DiaboloError(f"There is nothing to resume: no training into {folder} left a checkpoint.")


def _plan(
    before: Began,
    recipe: str | Callable[..., Recipe] | None,
    data: Any,
    passed: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Plan:
    """Returns what was to be fitted to what, with what may be changed and is."""
    function = _function(before, recipe)
    source = before.there("data") if data is None else data
    given, (labels, condition, valid) = sort_words(
        source, passed["labels"], passed["condition"], passed["valid"], options
    )
    values = {
        "data": source,
        "labels": labels,
        "condition": condition,
        "valid": before.there("valid") if valid is None else valid,
        "test": before.there("test") if passed["test"] is None else passed["test"],
    }
    for name, value in values.items():
        if value is None and before.given.get(name) == "memory":
            raise DiaboloError(
                f"This training began with {name} that were passed in memory: pass the same "
                f"again, resume(folder, {name}=...)."
            )
    lacking = [name for name in before.opaque if name not in given]
    if lacking:
        raise DiaboloError(
            f"This training began with {', '.join(lacking)} of the user's own, which is not "
            f"stored: pass the same again, resume(folder, {lacking[0]}=...)."
        )
    config = before.config
    where = config.data
    if isinstance(data, str | Path):
        where = replace(where, source=str(data))
    if where.data_dir is not None and not Path(where.data_dir).exists():
        where = replace(where, data_dir=os.path.join(before.within, where.data_dir))
    config = resolve(replace(config, data=where), given, list(keywords(function)), takers)
    if before.by_name:
        config = replace(config, options=checked(config.recipe, config.options))
    return Plan(
        source=source,
        config=config,
        function=function,
        named=before.by_name,
        labels=labels,
        condition=condition,
        valid=values["valid"],
        test=values["test"],
    )


def _function(before: Began, recipe: str | Callable[..., Recipe] | None) -> Callable[..., Recipe]:
    """Returns the function of the recipe that a training began with."""
    name = before.config.recipe
    if isinstance(recipe, str) and recipe != name:
        raise DiaboloError(
            f"This training began with recipe={name} and cannot go on with {recipe}: keep it, or "
            "begin anew with force."
        )
    if before.by_name:
        return find_recipe(name)
    if not callable(recipe):
        raise DiaboloError(
            f"This training began with the recipe {name}, a function of the user's own: pass it, "
            "resume(folder, recipe=function)."
        )
    return recipe


def _same_start(before: Began, start: Run | str | Path | None) -> None:
    """Refuses weights to start from that are not those the training began from."""
    if start is None:
        return
    given = start.folder if isinstance(start, Run) else start
    was = before.there("start")
    if given is not None and (was is None or Path(given).resolve() != Path(was).resolve()):
        raise DiaboloError(
            f"This training began with start={was} and cannot go on with {given}: keep it, or "
            "begin anew with force."
        )
