"""Weights & Biases, online or offline.

References:
    | https://docs.wandb.ai
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ..errors import missing_extra
from ._base import Ended, Place, Record, Setting, Tracker

__all__ = ["wandb"]


class Wandb(Tracker):
    """Logs into one run of a project."""

    def __init__(self, place: Place, project: str, mode: str | None) -> None:
        self.place, self.project, self.mode = place, project, mode
        self.record = Record(place)
        self.opened: Any = None

    def _run(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> Any:
        """Returns the run, begun or gone on with."""
        if self.opened is None:
            package = import_module("wandb")
            if self.record.id is None:
                self.record.keep(id=uuid.uuid4().hex[:8])
            if self.place.folder is not None:
                self.place.folder.mkdir(parents=True, exist_ok=True)
            self.opened = package.init(
                project=self.project,
                name=self.place.name,
                id=self.record.id,
                resume="allow",
                reinit="create_new",  # a run that the user has open stays open
                dir=None if self.place.folder is None else str(self.place.folder),
                mode=self.mode,
                config=dict(settings),
                notes="\n\n".join(notes) or None,
            )
        return self.opened

    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Opens the run with its configuration."""
        self._run(settings, notes)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs the numbers of one epoch."""
        if step > self.record.step:
            self._run({}, ()).log(dict(numbers), step=step)
            self.record.keep(step=step)

    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Puts final numbers into the summary, logs the figures and finishes the run."""
        run = self._run({}, ())
        run.summary.update({f"final.{name}": value for name, value in numbers.items()})
        if figures:
            package = import_module("wandb")
            run.log({f"figures/{name}": package.Image(str(path)) for name, path in figures.items()})
        run.finish(exit_code=0 if ended == "finished" else 1)
        self.opened = None


def wandb(
    place: Place,
    *,
    project: str = "diabolo",
    mode: Literal["online", "offline", "disabled"] | None = None,
) -> Tracker:
    """Returns a tracker that logs to Weights & Biases.

    Arguments:
        place: Where it writes: `wandb/` in the folder of the run.
        project: The project to which the run belongs.
        mode: `offline` needs no network, and `wandb sync` sends it later; None takes the variable
            WANDB_MODE, or online.

    Raises:
        DiaboloError: If the package is not installed.
    """
    if find_spec("wandb") is None:
        raise missing_extra("wandb", "wandb", "The tracker 'wandb'")
    return Wandb(place, project, mode)
