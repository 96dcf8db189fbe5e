"""Going on with a training that was interrupted or killed: only with what it began with.

`checkpoint/began.json` lies beside the state: the recipe, its options, how the data are read and
their fingerprints. The training's own settings are in the state.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint import atomic
from ..errors import DiaboloError
from . import folder as folders
from .store import plain

if TYPE_CHECKING:
    from .run import Run

__all__ = ["begin", "check", "find"]

BEGAN = "began.json"
ELSEWHERE = ("source", "data_dir")  # the same data may lie in another place


def find(folder: Path) -> Path:
    """Returns the state that a training into a folder goes on from.

    Raises:
        DiaboloError: If there is none.
    """
    state = folders.left_over(folder)
    if state is not None:
        return state
    if folders.is_run(folder):
        raise DiaboloError(
            f"There is nothing to resume: {folder} holds a run without a checkpoint. To train on "
            "from its weights, begin a new run from it (start=)."
        )
    raise DiaboloError(
        f"There is nothing to resume: no training into {folder} left a checkpoint. Leave resume "
        "out."
    )


def begin(place: Path, run: Run) -> None:
    """Writes what a training begins with beside the state that is to come."""
    with atomic((place / folders.STATE).with_name(BEGAN)) as part:
        part.write_text(json.dumps(_facts(run), indent=2) + "\n", "utf-8")


def check(state: Path, run: Run) -> None:
    """Refuses to go on with another recipe, other options or other data.

    Raises:
        DiaboloError: Naming the first difference.
    """
    path = state.with_name(BEGAN)
    try:
        before = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise DiaboloError(
            f"{path} is missing or damaged, so nobody knows what the training began with: begin "
            "anew with force."
        ) from None
    now = json.loads(json.dumps(_facts(run)))
    for name in {**before, **now}:
        was, given = before.get(name), now.get(name)
        if was == given:
            continue
        if name.startswith("prints."):
            raise DiaboloError(
                f"The {name.removeprefix('prints.')} data are not those that this training began "
                "with: put the former data back, or begin anew with force."
            )
        raise DiaboloError(
            f"This training began with {name}={was} and cannot go on with {given}: keep it, or "
            "begin anew with force."
        )


def _facts(run: Run) -> dict[str, Any]:
    """What has to be the same, flat; an option that is no JSON value is left out."""
    facts: dict[str, Any] = {"recipe": run.config.recipe}
    for name, value in run.config.options.items():
        try:
            facts[f"options.{name}"] = plain(value)
        except TypeError:
            facts[f"options.{name}"] = type(value).__name__
    for name, value in plain(asdict(run.config.data)).items():
        if name not in ELSEWHERE:
            facts[f"data.{name}"] = value
    for name in ("train", "valid"):
        facts[f"prints.{name}"] = run.prints[name]["sha256"]
    return facts
