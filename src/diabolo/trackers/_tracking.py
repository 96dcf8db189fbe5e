"""Feeds the trackers that were asked for by the one hook, and leaves out one that fails."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import ranks
from ..checkpoint import atomic
from ..config import RunConfig
from ..errors import DiaboloError
from ..registry import Registry, parse_call
from ..train import Row, Stop
from ._base import Ended, Place, Tracker, final, numbers, settings

if TYPE_CHECKING:
    from typing import Self

__all__ = ["TRACKERS", "Tracking"]

Say = Callable[[str], object]

TRACKERS = Registry("tracker", __package__ or "")
KEPT = "tracking.json"  # in the folder of a run: which trackers it has


class Tracking:
    """The trackers of one training.

    Of several processes only the leading one tracks; the others find a mistake in the names as
    it does.

    Arguments:
        calls: Their names, with options: `"tensorboard"`, `"csv(folder='tables')"`.
        folder: The folder of the run, in which each has one of its own; None where there is none.
        name: What the run is called.
        say: Told of a tracker that failed.

    Raises:
        DiaboloError: At an unknown tracker or option, one that is named twice, or whose package
            is not installed.
    """

    def __init__(
        self,
        calls: str | Sequence[str],
        folder: Path | None,
        name: str,
        *,
        say: Say | None = None,
    ) -> None:
        self.say = say
        self.notes: list[str] = []
        self.begun = False
        self.trackers: dict[str, Tracker] = {}
        for call in _several(calls):
            member = parse_call(call)[0]
            if member in self.trackers:
                raise DiaboloError(f"The tracker '{member}' is named twice: name each once.")
            own = None if folder is None else folder / member
            told = (say,) if say is not None and ranks.lead() else ()
            self.trackers[member] = TRACKERS.build(call, Place(own, name, *told))
        if not ranks.lead():
            self.trackers = {}
        elif folder is not None and self.trackers:
            with atomic(folder / KEPT) as part:
                part.write_text(json.dumps(_several(calls)) + "\n", "utf-8")

    @classmethod
    def again(
        cls, folder: Path, name: str, *, into: Path | None = None, say: Say | None = None
    ) -> Self:
        """Returns the trackers that a run has, to go on with their records.

        Arguments:
            folder: The folder of the run.
            name: What the run is called.
            into: Another folder to which the records move, while the run is put together there.
            say: Told of a tracker that failed.

        Raises:
            DiaboloError: If a package is not installed here.
        """
        path = folder / KEPT
        calls: list[str] = []
        try:
            calls = list(map(str, json.loads(path.read_text("utf-8")))) if path.is_file() else []
        except (ValueError, TypeError):
            if say is not None and ranks.lead():
                say(f"{path} is damaged: the trackers of this run are left out.")
        if into is not None and into != folder and ranks.lead():
            for call in calls:
                member = parse_call(call)[0]
                if (folder / member).is_dir():
                    shutil.copytree(
                        folder / member, into / member, dirs_exist_ok=True, symlinks=True
                    )
        return cls(calls, into or folder, name, say=say)

    def __call__(self, event: str | RunConfig | Row) -> None:
        """Takes what the one hook tells: notes, the configuration, a row for each epoch."""
        if isinstance(event, str):
            self.notes.append(event)
        elif isinstance(event, RunConfig):
            self.begun = True
            told = settings(event)
            self._each(lambda tracker: tracker.begin(told, self.notes))
        else:
            found = numbers(event)
            self._each(lambda tracker: tracker.log(event.step, found))

    def end(
        self,
        metrics: Mapping[str, Any],
        stopped: Stop = "epochs",
        figures: Mapping[str, Path] | None = None,
    ) -> None:
        """Gives the final numbers and pictures, and closes the records."""
        odd: dict[str, Ended] = {"interrupt": "interrupted", "diverged": "failed"}
        ended = odd.get(stopped, "finished")
        self._each(lambda tracker: tracker.end(final(metrics), figures or {}, ended))
        self.trackers = {}

    def close(self) -> None:
        """Closes the records of a training that failed; after `end` there is none to close."""
        if self.begun:  # a mistake found before training leaves no record
            self._each(lambda tracker: tracker.end({}, {}, "failed"))
        self.trackers = {}

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                act(tracker)
            except Exception as error:  # whatever a server or a full disk does: training goes on
                del self.trackers[name]
                told = " ".join(str(error).split())[:200].rstrip(".")
                if self.say is not None:
                    self.say(
                        f"The tracker '{name}' failed and is left out from here on "
                        f"({type(error).__name__}: {told}). The history of the run has every epoch."
                    )


def _several(calls: str | Sequence[str]) -> list[str]:
    """Returns the calls of a tuple, or of one string, where commas part them."""
    if not isinstance(calls, str):
        return list(calls)
    return [part for part in re.split(r",(?![^(]*\))", calls) if part.strip()]
