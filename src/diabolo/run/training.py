"""One training of a run: how it begins, and what is saved of it however it ends."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import ranks, train
from ..checkpoint import states
from ..config import RunConfig, TrainConfig
from ..errors import DiaboloError
from ..signals import Terminated, holding, undisturbed
from ..trackers import Tracking
from ..train import Diverged, History, Row
from . import began as beginnings
from . import folder as folders
from . import store
from .began import Began
from .latents import Latents
from .run import Run
from .workshop import replace as rename

__all__ = ["Event", "Fitting", "Interrupted"]

Event = str | RunConfig | Row


class Interrupted(KeyboardInterrupt):
    """Training was interrupted, by Ctrl-C or SIGTERM; what was fitted so far is in `run`.

    Attributes:
        run: The run with the best weights so far, saved if a folder was named and it replaces no
            other run.
        place: The folder that was named, or None.
        left: Where the state to go on from lies: that folder, or a hidden one beside it while the
            former run in it stands; None where none was written.
        terminated: Whether it was SIGTERM.
    """

    def __init__(
        self,
        run: Run,
        place: Path | None = None,
        left: Path | None = None,
        *,
        terminated: bool = False,
    ) -> None:
        stands = place is not None and run.folder is None and folders.is_run(place)
        also = f" The former run in {place} stands." if stands else ""
        super().__init__(f"Training was interrupted.{also}")
        self.run, self.place, self.left, self.terminated = run, place, left, terminated


@dataclass(eq=False)
class Fitting:
    """One training, and what is saved of it however it ends.

    Arguments:
        current: The run before training.
        place: Where it is to be saved, or None.
        part: The hidden folder in which it is put together.
        began: What it begins, or began, with.
        progress: Told of what happens.
        tracking: Told too, and of the numbers at the end.
        state: The state of a training to go on from.
    """

    current: Run
    place: Path | None
    part: Path | None
    began: Began
    progress: Callable[[Event], object] | None
    tracking: Tracking | None = None
    state: Path | None = None

    def say(self, event: Event) -> None:
        """Tells whoever listens, in the first of several processes."""
        if not ranks.lead():
            return
        if self.tracking is not None:  # first, as whoever listens may end the training
            self.tracking(event)
        if self.progress is not None:
            self.progress(event)

    def begin(self) -> None:
        """Says what is to be trained, and keeps beside the state what it began with."""
        for note in self.current.notes:
            self.say(note)
        if self.state is not None:
            self.say(f"Going on from the checkpoint in {self.state.parent}.")
            if ranks.lead():
                self.set_aside()
        if self.part is not None and ranks.lead():
            beginnings.write(self.part, self.began)

    def settled(self, config: TrainConfig) -> None:
        """Tells the configuration in which nothing is left to choose."""
        self.say(replace(self.current.config, train=config))

    def train(self) -> Run:
        """Trains and returns the run, saved if there is a place.

        Raises:
            Diverged: If a number is not finite.
            Interrupted: At Ctrl-C.
        """
        run = self.current
        fitted = killed = False
        try:
            with holding():  # nothing comes between a training and what is written of it
                self.fit()
                fitted = True
                with undisturbed():
                    self.finish()
        except KeyboardInterrupt as error:
            if not fitted:
                raise
            killed = isinstance(error, Terminated)
        else:
            if run.history.stopped != "interrupt":
                return run
        killed = killed or run.history.signal == signal.SIGTERM
        left = None if self.place is None else next(iter(folders.left(self.place)), None)
        raise Interrupted(run, self.place, left, terminated=killed)

    def fit(self) -> None:
        """Trains; what diverged is saved too, as far as it went.

        Raises:
            Diverged: If a number is not finite.
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
                on_config=self.settled,
                on_note=self.note,
                checkpoint=None if self.part is None else self.part / folders.STATE,
                resume=self.state,
            )
        except Diverged as error:
            run.history = History(error.rows, "diverged")
            if error.rows:
                self.finish()
            error.folder = run.folder
            raise
        run.computing = run.history.computing

    def note(self, sentence: str) -> None:
        """Tells a sentence and keeps it with the run."""
        self.current.notes += (sentence,)
        self.say(sentence)

    def set_aside(self) -> None:
        """Renames a damaged state whose predecessor is gone on from.

        Otherwise the next state would be kept beside the damaged one and not beside a sound one.
        """
        assert self.state is not None
        newer = self.state.with_name(folders.STATE.name)
        if self.state != newer and newer.is_file():
            os.replace(newer, newer.with_name("state.damaged.pt"))

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
        with ranks.alone():
            run.metrics["latents"] = store.plain(Latents.of(run.model, run.splits.valid)._asdict())
        if not ranks.lead():
            return
        if self.tracking is not None:
            self.tracking.end(run.metrics, run.history.stopped)
        if self.place is None or self.part is None:
            return
        place = self.place
        if self.stands() and run.history.stopped == "interrupt":
            return  # what is in the part goes on, and replaces the former run at its end
        if self.stands() and run.history.stopped == "diverged":
            place = folders.free(place.with_name(f"{place.name}-diverged"))
        try:
            folders.write(self.part, store.store(run))
            rename(self.part, place)
        except DiaboloError as error:
            if folders.left(self.place):
                raise DiaboloError(
                    f"{error} The last checkpoint is kept: make room, and go on from it with "
                    f"diabolo.resume('{self.place}')."
                ) from None
            raise
        run.folder = place
        if run.history.stopped != "interrupt" or not states(place / folders.STATE):
            # Only a training that was stopped is gone on with. Until the run has its name, its
            # states stay: a process may be killed at any moment.
            shutil.rmtree((place / folders.STATE).parent, ignore_errors=True)
