"""What a tracker is, and what is told to every one of them under the same names.

Shapes: none; everything is a number.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..checkpoint import atomic
from ..config import RunConfig
from ..errors import DiaboloError
from ..train import Row

__all__ = ["Ended", "Place", "Record", "Setting", "Tracker", "final", "numbers", "settings"]

Setting = str | float | bool
Ended = Literal["finished", "interrupted", "failed"]


def _unsaid(sentence: str) -> None:
    """Tells nobody."""


class Place(NamedTuple):
    """Where a tracker may write.

    Attributes:
        folder: Its own folder within the run's, or None where the run has none.
        name: What the run is called.
        say: Told what the user should know.
    """

    folder: Path | None
    name: str
    say: Callable[[str], object] = _unsaid

    def within(self, tracker: str, folder: str | None) -> Path:
        """Returns the folder to write to: the one that was asked for, or that of the run.

        Raises:
            DiaboloError: If there is neither.
        """
        if folder is not None:
            return Path(folder) / self.name
        if self.folder is None:
            raise DiaboloError(
                f"The tracker '{tracker}' writes into the folder of the run: name one with out, or "
                f"say track=\"{tracker}(folder='runs/tracked')\"."
            )
        return self.folder


class Tracker(ABC):
    """Takes what a training tells, epoch by epoch; whatever it raises leaves it out.

    One that is made in the place of a former one goes on with that one's record: a training is
    resumed so, and numbers found later are added so.
    """

    @abstractmethod
    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Takes the hyper-parameters by name, and what the user was told of the data."""

    @abstractmethod
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Takes the numbers of one epoch; an epoch that the record has already is not repeated."""

    @abstractmethod
    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Takes final numbers and pictures by name, and closes the record for now."""


class Record:
    """What has to be known to go on with a record that lies elsewhere: its id and last step.

    If it is damaged, that is said, and a new record begins.

    Arguments:
        place: Where this is kept, if it has a folder.
    """

    def __init__(self, place: Place) -> None:
        self.path = None if place.folder is None else place.folder / "record.json"
        self.id: str | None = None
        self.step = -1
        if self.path is not None and self.path.is_file():
            try:
                found = json.loads(self.path.read_text("utf-8"))
                self.id, self.step = found["id"], int(found["step"])
            except (ValueError, KeyError, TypeError):
                place.say(f"{self.path} is damaged: a new record begins.")

    def keep(self, *, id: str | None = None, step: int | None = None) -> None:
        """Keeps a new id or step."""
        self.id = self.id if id is None else id
        self.step = self.step if step is None else step
        if self.path is not None:
            with atomic(self.path) as part:
                part.write_text(json.dumps({"id": self.id, "step": self.step}), "utf-8")


def numbers(row: Row) -> dict[str, float]:
    """Returns a row's numbers by the names of its fields.

    `rate` is the sum over the groups of latents, so that models of any depth are comparable; where
    there are several groups, `rate_1`, `rate_2`, ... stand beside it.
    """
    found: dict[str, float] = {}
    for name, value in asdict(row).items():
        if isinstance(value, tuple):
            found[name] = float(sum(value))
            if len(value) > 1:
                found.update((f"{name}_{i + 1}", float(v)) for i, v in enumerate(value))
        elif name != "step":  # the x axis
            found[name] = float(value)
    return found


def settings(config: RunConfig) -> dict[str, Setting]:
    """Returns all that makes a run, flat: `recipe`, `options.latent`, `train.epochs`, ..."""
    parts = {
        "options": config.options,
        "data": asdict(config.data),
        "train": asdict(config.train),
    }
    found: dict[str, Setting] = {"recipe": config.recipe}
    for part, values in parts.items():
        for name, value in values.items():
            plain = isinstance(value, str | float | int)
            found[f"{part}.{name}"] = value if plain else str(value).split("\n")[0]
    return found


def final(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a run's metrics, flat: `valid.elbo`, `evaluation.elbo.value`, ..."""
    found: dict[str, float] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(f"{name}.{key}" if name else str(key), part)
        elif isinstance(value, list) and name.endswith(".rate"):
            for i, part in enumerate(value):
                walk(f"{name}_{i + 1}", part)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)

    walk("", {k: v for k, v in metrics.items() if k != "latents"})
    return found
