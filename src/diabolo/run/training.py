"""One training of a run: how it begins, and what is saved of it however it ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import train
from ..config import RunConfig
from ..train import Diverged, History, Row
from . import folder as folders
from . import resume as resuming
from . import store
from .latents import Latents
from .run import Run

__all__ = ["Event", "Fitting", "Interrupted"]

Event = str | RunConfig | Row


class Interrupted(KeyboardInterrupt):
    """Training was interrupted from the keyboard; what was fitted so far is in `run`.

    Attributes:
        run: The run with the best weights so far, saved if a folder was named and it replaces no
            other run.
        former: The folder named, where the run that it holds was not replaced.
        left: The checkpoint to go on from, beside that folder, or None where no epoch had ended.
    """

    def __init__(self, run: Run, former: Path | None = None, left: Path | None = None) -> None:
        stands = "" if former is None else f" The former run in {former} stands."
        super().__init__(f"Training was interrupted.{stands}")
        self.run, self.former, self.left = run, former, left


@dataclass(eq=False)
class Fitting:
    """One training, and what is saved of it however it ends.

    Arguments:
        current: The run before training.
        place: Where it is to be saved, or None.
        part: The hidden folder in which it is put together.
        state: The state of a training to go on from.
        progress: Told of what happens.
    """

    current: Run
    place: Path | None
    part: Path | None
    state: Path | None
    progress: Callable[[Event], object] | None

    def say(self, event: Event) -> None:
        """Tells whoever listens."""
        if self.progress is not None:
            self.progress(event)

    def begin(self) -> None:
        """Says what is to be trained, and keeps beside the state what it began with."""
        for note in self.current.notes:
            self.say(note)
        if self.state is not None:
            self.say(f"Going on from the checkpoint in {self.state.parent}.")
        if self.part is not None:
            resuming.begin(self.part, self.current)
        self.say(self.current.config)

    def train(self) -> Run:
        """Trains and returns the run, saved if there is a place.

        Raises:
            Diverged: If a number is not finite.
            Interrupted: At Ctrl-C.
        """
        run = self.current
        splits = run.splits
        assert splits is not None
        try:
            run.history = train.fit(
                run.recipe,
                splits.train,
                splits.valid,
                run.config.train,
                on_epoch=self.say,
                checkpoint=None if self.part is None else self.part / folders.STATE,
                resume=self.state,
            )
        except Diverged as error:
            run.history = History(error.rows, "diverged")
            if error.rows:
                self.finish()
            error.folder = run.folder
            raise
        self.finish()
        if run.history.stopped == "interrupt":
            if self.place is None or run.folder is not None:
                raise Interrupted(run)
            raise Interrupted(run, self.place, folders.left_beside(self.place))
        return run

    def stands(self) -> bool:
        """Whether a former run, which this training does not go on with, is in its place."""
        if self.place is None or not folders.is_run(self.place):
            return False
        return self.state is None or not self.state.is_relative_to(self.place)

    def finish(self) -> None:
        """Measures what every run keeps, and gives the folder its name."""
        run = self.current
        run.model.eval()
        assert run.splits is not None
        best = run.history.best
        if best is not None:
            run.metrics["valid"] = {
                "elbo": best.valid_elbo,
                "distortion": best.valid_distortion,
                "rate": list(best.valid_rate),
            }
        run.metrics["latents"] = store.plain(Latents.of(run.model, run.splits.valid)._asdict())
        if self.place is None or self.part is None:
            return
        place = self.place
        if self.stands() and run.history.stopped == "interrupt":
            return  # what is in the part goes on, and replaces the former run at its end
        if self.stands() and run.history.stopped == "diverged":
            place = folders.free(place.with_name(f"{place.name}-diverged"))
        folders.write(self.part, store.store(run))
        if run.history.stopped != "interrupt" or not (self.part / folders.STATE).is_file():
            # Only a training that was stopped is gone on with.
            shutil.rmtree((self.part / folders.STATE).parent)
        folders.replace(self.part, place)
        run.folder = place
