"""Trackio: a local database of runs, with a dashboard.

References:
    | https://huggingface.co/docs/trackio
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import missing_extra
from ._base import Ended, Place, Record, Setting, Tracker

__all__ = ["trackio"]


class Trackio(Tracker):
    """Logs into one run of a project."""

    def __init__(self, place: Place, project: str) -> None:
        self.place, self.project = place, project
        self.record = Record(place)
        self.opened: Any = None

    def _run(self, settings: Mapping[str, Setting]) -> Any:
        """Returns the run, begun or gone on with."""
        if self.opened is None:
            package = import_module("trackio")
            going = self.record.id is not None
            self.opened = package.init(
                project=self.project,
                name=self.record.id or self.place.name,
                config=dict(settings),
                resume="allow" if going else "never",
                embed=False,
            )
            self.record.keep(id=self.opened.name)  # it has a suffix where the name was taken
        return self.opened

    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Opens the run with its configuration."""
        self._run({**settings, "notes": "\n\n".join(notes)})

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs the numbers of one epoch."""
        if step > self.record.step:
            self._run({}).log(dict(numbers), step=step)
            self.record.keep(step=step)

    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Logs final numbers and figures after the last epoch, and finishes the run."""
        run = self._run({})
        found: dict[str, Any] = {f"final.{name}": value for name, value in numbers.items()}
        if figures:
            package = import_module("trackio")
            found |= {f"figures/{name}": package.Image(path) for name, path in figures.items()}
        if found:
            run.log(found, step=max(self.record.step, 0))
        run.finish()
        self.opened = None


def trackio(place: Place, *, project: str = "diabolo") -> Tracker:
    """Returns a tracker that logs to Trackio's database on this machine (TRACKIO_DIR).

    Arguments:
        place: Where it keeps which run of Trackio's is its own.
        project: The project to which the run belongs.

    Raises:
        DiaboloError: If the package is not installed.
    """
    if find_spec("trackio") is None:
        raise missing_extra("trackio", "trackio", "The tracker 'trackio'")
    return Trackio(place, project)
