"""What a search found: its trials, the best of them, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import DiaboloError
from ..run import Run, load

__all__ = ["ENDS", "Search", "State", "Trial"]

State = Literal[
    "complete", "pruned", "diverged", "failed", "interrupted", "killed", "running", "waiting"
]
# Each of these is one of the trials that were asked for; the others are done again.
ENDS: tuple[State, ...] = ("complete", "pruned", "diverged", "failed")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a search.

    Attributes:
        number: Counted from 0.
        state: How it ended, or that it runs or waits; what was interrupted or killed is done
            again as another trial.
        value: The best validation ELBO in nats, larger is better (for a deterministic model the
            objective), of a complete trial.
        options: What was chosen for it.
        seed: The seed of its training.
        epochs: How many it trained.
        last: The validation ELBO of its last epoch.
        note: Why it failed, or which trial it does again.
        folder: Its run, or None where its weights are not kept.
    """

    number: int
    state: State
    value: float | None
    options: Mapping[str, Any]
    seed: int
    epochs: int = 0
    last: float | None = None
    note: str = ""
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and its trials, in the order of their numbers.

    Attributes:
        folder: Where it lies; `best` in it is the run of the best trial.
        trials: All trials.
        space: What was searched, in words.
        importance: How much each option decided, from 0 to 1 in sum; empty for few trials.
        command: The words that repeat the best trial, or nothing where data or recipe were
            passed in memory.
        stopped: Why it ended: `trials`, `minutes`, `interrupt` (Ctrl-C) or `terminate`
            (SIGTERM).
    """

    folder: Path
    trials: tuple[Trial, ...]
    space: Mapping[str, str]
    importance: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    stopped: str = "trials"

    @property
    def complete(self) -> list[Trial]:
        """The complete trials, best first."""
        done = [t for t in self.trials if t.state == "complete" and t.value is not None]
        return sorted(done, key=lambda t: (-(t.value or 0.0), t.number))

    @property
    def best(self) -> Trial:
        """The trial with the best validation ELBO.

        Raises:
            DiaboloError: If none is complete.
        """
        if not self.complete:
            raise DiaboloError("No trial of this search is complete, so none is the best.")
        return self.complete[0]

    @property
    def caution(self) -> str:
        """What the number of the best trial is not."""
        return (
            f"The validation data chose among {len(self.complete)} trials and flatter the best: "
            f"publish its number on test data, which chose nothing (diabolo evaluate "
            f"{self.folder / 'best'})."
        )

    def run(self) -> Run:
        """Returns the run of the best trial."""
        return load(self.folder / "best")

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        trials = [
            {**asdict(t), "folder": None if t.folder is None else str(t.folder)}
            for t in self.trials
        ]
        return {
            "folder": str(self.folder),
            "stopped": self.stopped,
            "best": self.best.number if self.complete else None,
            "value": self.best.value if self.complete else None,
            "command": self.command,
            "space": dict(self.space),
            "importance": dict(self.importance),
            "caution": self.caution,
            "trials": trials,
        }


FLAGS = {"labels": "--labels", "condition": "--condition", "valid": "--valid", "test": "--test"}
FLAGS |= {"start": "--from"}


def command(data: str, recipe: str, options: Mapping[str, Any]) -> str:
    """Returns the words that fit a recipe with options to data.

    Arguments:
        data: The source.
        recipe: The recipe's name.
        options: Options by name, also those that have a flag of their own.
    """
    flags: list[str] = []
    told: list[str] = []
    words = {None: "none", True: "true", False: "false"}
    for name, value in options.items():
        if name in FLAGS:
            several = value if isinstance(value, (tuple, list)) else [value]
            flags += [FLAGS[name], *map(str, several)]
        else:
            plain = words[value] if value is None or isinstance(value, bool) else value
            told.append(f"{name}={plain}")
    return shlex.join(["diabolo", "fit", data, "--recipe", recipe, *flags, "--set", *told])
