"""What is searched: the options, and the range or the choices of each.

In words: `latent=8..128:log, learning_rate=1e-4..3e-3:log, batch_size=64|128|256`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..config import DataConfig, RunConfig, TrainConfig, resolve
from ..errors import DiaboloError
from ..model import Recipe
from ..nets import NETS
from ..registry import keywords, parse_call, parse_value, typed
from ..run.menu import takers

__all__ = ["Choice", "Range", "Space", "check", "default_space", "parse_space"]

# What cannot be searched, and why: the objective has to stay the same and comparable.
BUDGET = "it is what every trial may spend; say it once, beside the space"
SEEDS = "the better seed is luck, and each trial has one of its own"
SAME = "it does not change what is learned"
REFUSED = {
    "epochs": BUDGET,
    "minutes": BUDGET,
    "patience": BUDGET,
    "seed": SEEDS,
    "device": SAME,
    "compile": SAME,
    "checkpoint_minutes": SAME,
}
# Whole numbers that scale a model; a default space reaches from a quarter to four times them.
SIZES = ("latent", "top", "width", "pseudo_inputs")
UNPRICED = ("ae", "denoising_ae")  # no rate is paid for a latent, so the largest always wins


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between two ends, which are included; whole ones where both ends are."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}{':log' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values: words, numbers, true, false and none."""

    values: tuple[str | float | bool | None, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return any(value == v and type(value) is type(v) for v in self.values)

    def __str__(self) -> str:
        words = {None: "none", True: "true", False: "false"}
        plain = [words[v] if v is None or isinstance(v, bool) else str(v) for v in self.values]
        return "|".join(plain)


Space = dict[str, Range | Choice]


def parse_space(text: str | Sequence[str] | Mapping[str, str | Sequence[Any]]) -> Space:
    """Reads a space: words as on the command line, or the same by name.

    Arguments:
        text: `"latent=8..128:log, net=mlp|conv"`, several such, or `{"latent": "8..128:log",
            "net": ["mlp", "conv"]}`.

    Raises:
        DiaboloError: If it is written otherwise, or an option is there twice.

    Example:
        >>> parse_space("latent=8..128:log, batch_size=64|128")["latent"]
        Range(low=8, high=128, log=True)
    """
    if isinstance(text, Mapping):
        found = {n: _domain(n, v) if isinstance(v, str) else _choice(n, v) for n, v in text.items()}
    else:
        found = {}
        for part in [p for t in ([text] if isinstance(text, str) else text) for p in _parts(t)]:
            name, equals, domain = part.partition("=")
            if not equals or not name.strip():
                raise DiaboloError(
                    "A space is written as name=low..high, name=low..high:log or name=a|b|c, but "
                    f"got '{part}'."
                )
            if name.strip() in found:
                raise DiaboloError(f"The space has '{name.strip()}' twice.")
            found[name.strip()] = _domain(name.strip(), domain.strip())
    if not found:
        raise DiaboloError("The space is empty: name one option at least, latent=8..128:log.")
    return found


def _parts(text: str) -> list[str]:
    """Returns the parts between commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [p.strip() for p in parts if p.strip()]


def _domain(name: str, text: str) -> Range | Choice:
    if ".." not in text:
        return _choice(name, [parse_value(v.strip()) for v in text.split("|")])
    ends, _, scale = text.partition(":")
    low, high = (parse_value(v.strip()) for v in ends.split("..", 1))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
    if not numbers or scale not in ("", "log"):
        raise DiaboloError(
            f"The range of '{name}' is written low..high or low..high:log with numbers, but got "
            f"'{text}'."
        )
    if not low < high or not math.isfinite(high - low):
        raise DiaboloError(f"The range of '{name}' goes from a lower to a higher end, not {text}.")
    if scale and not low > 0:
        raise DiaboloError(f"The range of '{name}' begins at {low}, and has no logarithm there.")
    return Range(low, high, bool(scale))


def _choice(name: str, values: Sequence[Any]) -> Choice:
    if any(not isinstance(v, str | float | int | bool | None) for v in values) or "" in values:
        raise DiaboloError(
            f"A choice of '{name}' is a word, a number, true, false or none, not {values!r}."
        )
    if len(values) < 2 or len(set(map(repr, values))) < len(values):
        raise DiaboloError(
            f"'{name}' needs two different choices at least, a|b, or a range, low..high; an option "
            "that is the same for every trial is given beside the space."
        )
    return Choice(tuple(values))


def default_space(base: RunConfig, function: Callable[..., Recipe], said: set[str]) -> Space:
    """Returns what is searched where nobody says: the sizes, the learning rate, the batch.

    Arguments:
        base: The configuration without a search, around which the space lies.
        function: The recipe.
        said: Options that were given, and so are the same for every trial.

    Raises:
        DiaboloError: If all of them were given.
    """
    known = keywords(function)
    found: Space = {}
    for name in SIZES:
        if name in known and not (name == "latent" and base.recipe in UNPRICED):
            size = int(base.options.get(name, known[name].default))
            found[name] = Range(max(1, size // 4), 4 * size, log=True)
    if "net" in known and (nets := _nets(base.options.get("net"))):
        found["net"] = Choice(nets)
    rate = base.train.learning_rate
    found["learning_rate"] = Range(rate / 10, rate * 5, log=True)
    found["batch_size"] = Choice(tuple(sorted({64, 128, 256, base.train.batch_size})))
    found = {n: d for n, d in found.items() if n not in said}
    if not found:
        raise DiaboloError("Every option of the default space was given: name a space.")
    return found


def _nets(net: Any) -> tuple[str | None, ...]:
    """Returns networks of half and of twice the width, where a network has a width."""
    if net is None:  # a perceptron reads data of any shape
        return (None, "mlp(hidden=(256, 256))", "mlp(hidden=(1024, 1024))")
    if not isinstance(net, str):
        return ()
    name, options = parse_call(net)
    if name not in NETS.names() or "hidden" not in keywords(NETS.load(name)):
        return ()
    hidden = options.get("hidden", keywords(NETS.load(name))["hidden"].default)
    if not hidden:
        return ()

    def scaled(factor: float) -> str:
        wide = (
            int(hidden * factor)
            if isinstance(hidden, int)
            else tuple(max(1, int(h * factor)) for h in hidden)
        )
        told = {**options, "hidden": wide}
        return f"{name}({', '.join(f'{k}={v}' for k, v in told.items())})"

    return (scaled(0.5), net, scaled(2))


def check(space: Space, base: RunConfig, function: Callable[..., Recipe], named: bool) -> None:
    """Refuses options that do not exist or cannot be searched, and values that do not fit.

    Arguments:
        space: What is to be searched.
        base: What holds where the space says nothing.
        function: The recipe.
        named: Whether the recipe is one of diabolo's, whose options have types.

    Raises:
        DiaboloError: Naming the option, with the nearest known one.
    """
    own = list(keywords(function))
    training, reading = ({f.name for f in fields(c)} for c in (TrainConfig, DataConfig))
    for name, domain in space.items():
        part, _, bare = name.rpartition(".")
        mine = bare in own and part in ("", "recipe", "options")
        if part == "data" or (not part and not mine and bare in reading - training):
            raise DiaboloError(
                f"'{name}' cannot be searched: it changes the data, and validation numbers of "
                "different data are not comparable."
            )
        if bare in REFUSED and not mine:
            raise DiaboloError(f"'{name}' cannot be searched: {REFUSED[bare]}.")
        ends = (domain.low, domain.high) if isinstance(domain, Range) else domain.values
        for value in ends:
            found = resolve(base, {name: value}, own, takers)
            if named and mine:
                typed(f"recipe '{base.recipe}'", function, {bare: found.options[bare]})
