"""Search: one ordinary training a trial, chosen, compared and ended early by Optuna.

References:
    | Optuna: A Next-generation Hyperparameter Optimization Framework (Akiba et al., 2019)
    | https://arxiv.org/abs/1907.10902
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from ..config import RunConfig
from ..errors import DiaboloError, lacks_memory, whole
from ..model import Recipe
from ..registry import keywords
from ..run import Interrupted, Run
from ..run.began import Began
from ..run.fit import plan
from ..run.folder import beside
from ..run.menu import find
from ..run.training import Fitting
from ..signals import Terminated
from ..train import Diverged, Row
from .folder import claim, contents, publish, train
from .result import Search, State, Trial, command
from .shared import Shared
from .space import Space, check, default_space, parse_space

__all__ = ["search"]

FACTS = "search.json"
HOPELESS = 3  # failures without one success after which a mistake is taken for the user's


class _Known(Exception):
    """Ends a rehearsal when the configuration is known."""


class _Pruned(Exception):
    """Ends a trial that does worse than the others did."""


def search(
    data: Any,
    recipe: str | Callable[..., Recipe] | None = None,
    *,
    out: str | Path,
    space: str | Sequence[str] | Mapping[str, str | Sequence[Any]] | None = None,
    trials: int = 20,
    minutes: float | None = None,
    pruner: Literal["median", "hyperband", "none"] = "median",
    keep: int = 3,
    seed: int = 0,
    resume: bool = False,
    progress: Callable[[str | Trial], object] | None = None,
    labels: Any = None,
    condition: Any = None,
    valid: Any = None,
    test: Any = None,
    **options: Any,
) -> Search:
    """Searches for the options with the best validation ELBO, and keeps the best runs.

    Several processes may search in one folder: all but the first say `resume`.

    Arguments:
        data: As for `fit`.
        recipe: As for `fit`.
        out: The folder of the search; `best` in it is the run of the best trial.
        space: What is searched: `"latent=8..128:log, batch_size=64|128"`, or by name; None takes
            the recipe's sizes, its network's width, the learning rate and the batch size, as far
            as they were not given.
        trials: How many trials there are to be, of all processes together.
        minutes: Begin no trial after so many minutes, and stop the one under way, which a resumed
            search does again; one trial at least is done.
        pruner: How trials that do worse than others are ended early.
        keep: How many of the best runs keep their weights.
        seed: Decides with a trial's number what is chosen, and is with it the training's seed.
        resume: Go on with the search in the folder, or join it. All data have to be the same.
        progress: Called with each note (a string), and with each trial when it has ended.
        labels: As for `fit`.
        condition: As for `fit`.
        valid: As for `fit`.
        test: As for `fit`; it chooses nothing.
        options: Options that are the same for every trial, as for `fit`.

    Returns:
        The search. Ctrl-C and SIGTERM end it in order, with what was found.

    Raises:
        DiaboloError: At a mistake in data, options or space, before training; if no trial can be
            trained; or if the folder holds another search.
    """
    folder = Path(out).resolve()
    trials, keep, seed = (
        whole(name, value, least=least)
        for name, value, least in (("trials", trials, 1), ("keep", keep, 1), ("seed", seed, 0))
    )
    if minutes is not None and not minutes > 0:
        raise DiaboloError(f"minutes must be positive or none, not {minutes}.")
    if pruner not in ("median", "hyperband", "none"):
        raise DiaboloError(f"pruner is median, hyperband or none, not {pruner!r}.")
    for name in ("seed", "train.seed"):
        if name in options:
            raise DiaboloError(f"'{name}' of a trial follows from the search's: say seed=.")
    for name in ("track", "force"):
        if name in options:
            raise DiaboloError(f"A search keeps its own record of all trials: leave {name} out.")
    fixed = {**options, "labels": labels, "condition": condition, "valid": valid, "test": test}
    say = progress or (lambda event: None)
    base, run = _rehearse(data, recipe, fixed, say)
    function = recipe if callable(recipe) else find(base.recipe)
    said = {n.rpartition(".")[2] for n in options}
    found = default_space(base, function, said) if space is None else parse_space(space)
    check(found, base, function, not callable(recipe))
    for name in found:
        if name.rpartition(".")[2] in said:
            raise DiaboloError(f"'{name}' is both given and searched: leave one out.")
    facts = {
        "kind": "diabolo search",
        "recipe": base.recipe,
        "data": base.data.source,
        **contents(run),
        "space": {n: str(d) for n, d in found.items()},
        "seed": seed,
        "pruner": pruner,
        "options": {n: str(v) for n, v in sorted(options.items())},
    }
    claim(folder, FACTS, facts, "search", resume=resume)
    shared = Shared(folder, found, seed, pruner, base.train.epochs)
    work = _Work(shared, data, recipe, fixed, facts, base, keep, say)
    return work.go(trials, minutes)


def _rehearse(
    data: Any, recipe: Any, fixed: Mapping[str, Any], say: Callable[[str], object]
) -> tuple[RunConfig, Run]:
    """Returns the whole configuration without a search, and the run that training would begin.

    The data are read, and what is to be said of them is told.
    """
    known: list[RunConfig] = []

    def listen(event: object) -> None:
        if isinstance(event, str):
            say(event)
        elif isinstance(event, RunConfig):
            known.append(event)
            raise _Known

    options = dict(fixed)
    labels, condition, valid, test, start = (
        options.pop(name, None) for name in ("labels", "condition", "valid", "test", "start")
    )
    planned = plan(data, recipe, labels, condition, valid, test, start, options)
    run = planned.run(planned.read())
    fitting = Fitting(run, None, None, Began.of(run, planned.given()), listen)
    with contextlib.suppress(_Known):
        fitting.begin()
        fitting.train()
    return known[0], run


class _Work:
    """One process of a search."""

    def __init__(
        self,
        shared: Shared,
        data: Any,
        recipe: Any,
        fixed: Mapping[str, Any],
        facts: dict[str, Any],
        base: RunConfig,
        keep: int,
        say: Callable[[str | Trial], object],
    ) -> None:
        self.shared, self.data, self.recipe, self.fixed = shared, data, recipe, fixed
        self.facts, self.base, self.keep, self.say = facts, base, keep, say
        self.terminated = False  # whether SIGTERM ended the last trial

    def go(self, trials: int, minutes: float | None) -> Search:
        """Does trials until there are enough, or the time is over, or at Ctrl-C."""
        end = None if minutes is None else time.monotonic() + 60 * minutes
        stopped, failures = "trials", 0
        while True:
            late = end is not None and time.monotonic() >= end
            done = any(t.state == "complete" for t in self.shared.trials())
            if late and done:
                stopped = "minutes"
                break
            asked = self.shared.ask(trials, _defaults(self.base, self.shared.space))
            if asked is None:
                break
            trial, chosen, lock = asked
            try:
                state, note = self._train(trial, chosen, end)
            finally:
                lock.release()
            self.say(self.shared.trials()[trial.number])
            if state == "interrupted":
                late = end is not None and time.monotonic() >= end
                stopped = "minutes" if late else "interrupt"
                stopped = "terminate" if self.terminated else stopped
                break
            failures = failures + 1 if state == "failed" else 0
            if failures >= HOPELESS and not done:
                raise DiaboloError(f"{failures} trials failed one after another, the last: {note}")
            self._publish("running")
        return self._publish(stopped)

    def _train(self, trial: Any, chosen: dict[str, Any], end: float | None) -> tuple[State, str]:
        """Trains one trial, and records how it ended."""
        place = self.shared.place(trial.number)
        before = self.shared.before(trial.number)

        def listen(event: object) -> None:
            if not isinstance(event, Row):
                return
            for epoch in sorted(before):  # these are not told again
                if epoch < event.epoch:
                    trial.report(before[epoch], epoch)
            before.clear()
            trial.report(event.valid_elbo, event.epoch)
            if trial.should_prune():
                raise _Pruned
            late = end is not None and time.monotonic() >= end
            if late and any(t.state == "complete" for t in self.shared.trials()):
                raise KeyboardInterrupt

        state: State = "failed"
        value, note = None, ""
        try:
            seed = self.shared.seed_of(trial.number)
            given = {**self.fixed, **chosen, "train.seed": seed}
            run = train(place, self.data, self.recipe, given, listen, self.say)
            state, best = "complete", run.history.best
            value = None if best is None else best.valid_elbo
        except _Pruned:
            state = "pruned"
            for left_over in (beside(place), place):  # one that was taken over has both
                shutil.rmtree(left_over, ignore_errors=True)
        except Diverged as error:
            state, note = "diverged", str(error)
        except KeyboardInterrupt as error:
            state = "interrupted"
            asked = error.terminated if isinstance(error, Interrupted) else None
            self.terminated = isinstance(error, Terminated) if asked is None else asked
        except DiaboloError as error:
            note = str(error)
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            note = "There is too little memory for this trial."
        finally:
            self.shared.tell(trial, state, value, note)
        return state, note

    def _publish(self, stopped: str) -> Search:
        """Writes what was found, names the best run, and takes the weights of the others."""
        with self.shared.lock:
            found = self._search(stopped)
            for trial in found.complete[self.keep :]:
                _lighten(self.shared.place(trial.number))
            if found.complete:
                _point(self.shared.folder / "best", self.shared.place(found.best.number))
            found = self._search(stopped)
            publish(self.shared.folder / FACTS, {**self.facts, "result": found.to_json()})
        return found

    def _search(self, stopped: str) -> Search:
        found = Search(
            folder=self.shared.folder,
            trials=self.shared.trials(),
            space=self.facts["space"],
            importance={} if stopped == "running" else self.shared.importance(),
            stopped=stopped,
        )
        named = isinstance(self.data, str | Path) and not callable(self.recipe)
        plain = all(map(_told, self.fixed.values()))
        if not (named and plain and found.complete):
            return found
        fixed = {n: v for n, v in self.fixed.items() if v is not None}
        told = {**fixed, **found.best.options, "train.seed": found.best.seed}
        return replace(found, command=command(str(self.data), self.base.recipe, told))


def _defaults(base: RunConfig, space: Space) -> dict[str, Any]:
    """Returns what the options of a space are where nobody searches."""
    own = keywords(find(base.recipe)) if base.recipe.isidentifier() else {}
    values = {n: p.default for n, p in own.items()} | dict(base.options)
    every = {**asdict(base.train), **values}
    told = {n: every[n.rpartition(".")[2]] for n in space if n.rpartition(".")[2] in every}
    return {n: v for n, v in told.items() if v is None or isinstance(v, str | int | float)}


def _told(value: Any) -> bool:
    """Whether a value can be written on the command line."""
    several = isinstance(value, (tuple, list)) and all(isinstance(v, str) for v in value)
    return several or isinstance(value, str | int | float | Path | None)


def _lighten(place: Path) -> None:
    """Takes all of a run but its numbers."""
    for name in ("weights.safetensors",):
        (place / name).unlink(missing_ok=True)
    for name in ("figures", "checkpoint"):
        shutil.rmtree(place / name, ignore_errors=True)


def _point(link: Path, place: Path) -> None:
    """Lets `best` be another run's name; a copy where the system has no links."""
    target = Path("trials") / place.name
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    part = link.with_name(".best")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    try:
        part.symlink_to(target, target_is_directory=True)
        part.replace(link)
    except OSError:
        shutil.rmtree(link, ignore_errors=True)
        shutil.copytree(place, link)
