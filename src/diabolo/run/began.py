"""What a training began with, beside its states: enough to go on with it without a word.

`checkpoint/began.json` holds the recipe, its options, how the data are read and trained on, where
they were, their fingerprints, and its own SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import ranks
from ..checkpoint import atomic
from ..config import RunConfig, parse
from ..errors import DiaboloError
from ..train.going_on import MAY_CHANGE
from . import folder as folders
from .run import Run
from .store import plain, tuples

__all__ = ["Began", "differences", "read", "write"]

BEGAN = "began.json"
ELSEWHERE = ("source", "data_dir", "memory")  # the same data may lie, and be held, elsewhere


@dataclass(frozen=True)
class Began:
    """What a training began with.

    Arguments:
        config: Its configuration; options that JSON does not know are left out.
        opaque: Those options, by name, as they were printed.
        by_name: Whether the recipe is found by its name.
        given: What was passed: a name or path, `memory`, or None; by the argument's name.
        prints: The fingerprints of the training and the validation data.
        within: The folder in which it was begun.
        launch: The name of the launch of several processes that is at work, if it has one.
    """

    config: RunConfig
    opaque: Mapping[str, str]
    by_name: bool
    given: Mapping[str, str | None]
    prints: Mapping[str, str]
    within: str
    launch: str | None = None

    @classmethod
    def of(cls, run: Run, given: Mapping[str, str | None]) -> Began:
        """Returns what a run before training begins with."""
        options: dict[str, Any] = {}
        opaque: dict[str, str] = {}
        for name, value in run.config.options.items():
            try:
                options[name] = tuples(plain(value))
            except TypeError:
                opaque[name] = type(value).__name__
        return cls(
            config=replace(run.config, options=options),
            opaque=opaque,
            by_name=run.function is None,
            given=given,
            prints={name: run.prints[name]["sha256"] for name in ("train", "valid")},
            within=str(Path.cwd()),
            launch=ranks.launch(),
        )

    def there(self, name: str) -> str | None:
        """Returns where what was passed is to be found from here, if it has a name or path."""
        word = self.given.get(name)
        if word in (None, "memory"):
            return None
        other = Path(self.within) / word
        return str(other) if other.exists() and not Path(word).exists() else word

    def since(self, before: Began) -> Began:
        """Returns this beginning with the training's settings of the first, but what may change.

        Whatever the loop refuses, or has chosen itself, is not written down.
        """
        changed = {name: getattr(self.config.train, name) for name in MAY_CHANGE}
        settings = replace(before.config.train, **changed)
        return replace(self, config=replace(self.config, train=settings))


def write(place: Path, began: Began) -> None:
    """Writes what a training begins with beside the states that are to come.

    Raises:
        DiaboloError: If it cannot be written.
    """
    path = (place / folders.STATE).with_name(BEGAN)
    facts = plain(asdict(began))
    content = json.dumps({**facts, "sha256": folders.checksum(facts)}, indent=2)
    try:
        with atomic(path) as part:
            part.write_text(content + "\n", "utf-8")
    except OSError as error:
        raise DiaboloError(f"Cannot write {path}: {error.strerror or error}.") from None


def read(place: Path) -> Began:
    """Returns what the training whose states lie in a folder began with.

    Raises:
        DiaboloError: If that is missing or damaged.
    """
    path = (place / folders.STATE).with_name(BEGAN)
    try:
        facts = dict(json.loads(path.read_text("utf-8")))
        if facts.pop("sha256") != folders.checksum(facts):
            raise ValueError(path)
    except (OSError, ValueError, TypeError, KeyError):
        raise DiaboloError(
            f"{path} is missing or damaged, so nobody knows what the training began with: begin "
            "anew with force."
        ) from None
    config = parse(facts.pop("config"))
    options = {name: tuples(value) for name, value in config.options.items()}
    return Began(config=replace(config, options=options), **facts)


def differences(before: Began, now: Began) -> str | None:
    """Returns a sentence on the first thing that has to be the same and is not."""
    was, found = _facts(before), _facts(now)
    for name in {**was, **found}:
        if was.get(name) != found.get(name):
            return (
                f"This training began with {name}={was.get(name)} and cannot go on with "
                f"{found.get(name)}: keep it, or begin anew with force."
            )
    for name, digest in before.prints.items():
        if digest != now.prints.get(name):
            return (
                f"The {name} data are not those that this training began with: put the former "
                "data back, or begin anew with force."
            )
    return None


def _facts(began: Began) -> dict[str, Any]:
    """What has to be the same, flat; the training's own settings are in the state."""
    config = began.config
    facts: dict[str, Any] = {"recipe": config.recipe}
    facts |= {f"options.{name}": value for name, value in config.options.items()}
    facts |= {f"options.{name}": kind for name, kind in began.opaque.items()}
    for name, value in asdict(config.data).items():
        if name not in ELSEWHERE:
            facts[f"data.{name}"] = value
    return facts
