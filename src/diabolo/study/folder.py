"""What studies of many trainings share: a folder of their own, and runs that are gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import atomic
from ..data import Splits
from ..errors import DiaboloError
from ..run import Run, fit, resume
from ..run import began as beginnings
from ..run.folder import left
from ..run.resume import find as find_state
from ..run.store import plain

__all__ = ["claim", "contents", "publish", "train"]


def claim(
    folder: Path, name: str, facts: Mapping[str, Any], what: str, *, resume: bool = False
) -> None:
    """Takes a folder for a study, and refuses one that holds something else.

    Arguments:
        folder: The folder.
        name: The file in it that tells the study.
        facts: What makes the study, `kind` among it; it goes on with the same only.
        what: What it is called.
        resume: Whether it is to go on.

    Raises:
        DiaboloError: Saying what is there.
    """
    if folder.is_dir() and any(folder.iterdir()):
        before: dict[str, Any] = {}
        ours = False
        try:
            before = json.loads((folder / name).read_text("utf-8"))
            ours = before.get("kind") == facts["kind"]
        except (OSError, ValueError, AttributeError):
            ours = False
        if not ours:
            raise DiaboloError(f"{folder} holds files but no {what}: name another folder.")
        if not resume:
            raise DiaboloError(
                f"{folder} holds a {what} already: go on with it with resume, or name another."
            )
        for fact, value in facts.items():
            if before.get(fact) != value:
                raise DiaboloError(
                    f"This {what} began with {fact}={before.get(fact)} and cannot go on with "
                    f"{value}: keep it, or name another folder."
                )
        return
    if resume:
        raise DiaboloError(f"There is no {what} in {folder} to go on with: leave resume out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiaboloError(f"Cannot write to {folder}: {error.strerror or error}.") from None
    publish(folder / name, facts)


def contents(run: Run) -> dict[str, str | None]:
    """Returns what each split holds: their names are the same for all that is in memory."""
    found = {}
    for name in Splits._fields:
        print_ = run.prints.get(name)
        told = (
            None if print_ is None else f"{print_['count']} data, SHA-256 {print_['sha256'][:16]}"
        )
        found[name] = told
    return found


def publish(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON, whole or not at all; a number that is not finite is null.

    Raises:
        DiaboloError: If it cannot be written.
    """
    try:
        with atomic(path) as part:
            part.write_text(json.dumps(plain(content), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise DiaboloError(f"Cannot write to {path}: {error.strerror or error}.") from None


def train(
    place: Path,
    data: Any,
    recipe: Any,
    options: Mapping[str, Any],
    listen: Callable[[object], object],
    say: Callable[[str], object],
) -> Run:
    """Fits a run into a folder, or goes on with what a former training left there, if it is sound.

    Arguments:
        place: The folder of the run.
        data: As for `fit`.
        recipe: As for `fit`.
        options: All other arguments of `fit`.
        listen: Called with what `fit` tells.
        say: Called with a sentence where nothing sound is left.
    """
    if left(place):
        try:
            beginnings.read(find_state(place)[0].parent.parent)
        except DiaboloError as error:
            say(f"{error} It begins anew.")
        else:
            return resume(place, data, recipe=recipe, progress=listen, **options)
    return fit(data, recipe, out=place, force=True, progress=listen, **options)
