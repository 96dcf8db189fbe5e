"""Flags that several verbs share, and `--set name=value`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import DiaboloError
from ..registry import parse_value

__all__ = [
    "Compile",
    "Flag",
    "Force",
    "Json",
    "Marginal",
    "Precision",
    "Several",
    "instead",
    "pairs",
    "parse_set",
    "parse_value",
    "reading",
]

Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Marginal = Annotated[bool, Parameter(name="--marginal", negative="")]
Flag = Parameter(negative="")
Several = Parameter(consume_multiple=True, negative="")
Precision = Literal["float32", "bf16"]
Compile = Literal["auto", "on", "off"]

# Names that `diabolo.fit` itself has: those that say how data are read, and those with a flag.
READ = ("labels", "condition", "valid")
FLAGS = {
    "data": "name DATA itself",
    "progress": "leave it out",
    "start": "use --from",
    **{name: f"use --{name}" for name in ("force", "out", "recipe", "resume", "test")},
}


def pairs(flag: str, words: Iterable[str]) -> dict[str, str]:
    """Returns what `name=value` words after a flag say; a name may hold blanks, not `=`.

    Raises:
        DiaboloError: If a word is no pair, or a name comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value or name in found:
            raise DiaboloError(
                f"{flag} takes name=value, each name once, such as age=real, but got '{word}'."
            )
        found[name] = value
    return found


def parse_set(pairs: Iterable[str], **flags: Any) -> dict[str, Any]:
    """Returns options out of `name=value` words and of flags that were given.

    Arguments:
        pairs: The words after `--set`.
        flags: Options that have a flag of their own, by name; None where it was not given.

    Raises:
        DiaboloError: If a word is no pair, or an option is given twice.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise DiaboloError(
                f"--set takes name=value, such as latent=16 or train.epochs=20, but got '{pair}'."
            )
        if name in FLAGS:
            raise DiaboloError(f"'{name}' is no option of --set: {FLAGS[name]}.")
        name = f"data.{name}" if name in READ else name
        if name in options:
            raise DiaboloError(f"--set gives '{name}' twice.")
        ignored = name == "data.labels" and value.lower() == "none"  # a word of its own there
        options[name] = "none" if ignored else parse_value(value)
    for name, value in flags.items():
        if value is None or value is False:
            continue
        if name in options or f"data.{name}" in options:
            flag = f"--{name.replace('_', '-')}"
            raise DiaboloError(f"Both {flag} and --set give '{name}': use one of them.")
        options[f"data.{name}"] = value
    return options


def reading(
    options: Mapping[str, Any],
    *,
    labels: str | None,
    condition: Sequence[str],
    valid: str | None,
) -> dict[str, Any]:
    """Returns the arguments of `diabolo.fit` that say how data are read, out of flags.

    Arguments:
        options: What `parse_set` made of the other words.
        labels: The word after `--labels`.
        condition: The words after `--condition`.
        valid: The word after `--valid`.

    Raises:
        DiaboloError: If one of them is among the options too.
    """
    words = dict(zip(READ, (labels, condition, valid), strict=True))
    for name, value in words.items():
        if value and f"data.{name}" in options:
            raise DiaboloError(f"Both --{name} and --set give '{name}': use one of them.")
    return {
        "labels": labels,
        "condition": (condition[0] if len(condition) == 1 else condition) or None,
        "valid": None if valid is None else parse_value(valid),
    }


def instead(flag: str, after: Sequence[str]) -> str:
    """Returns how to write an unknown flag that is an option: `--set epochs=3`; else nothing.

    Arguments:
        flag: The word that was typed, `--epochs` or `--epochs=3`.
        after: The words after it.
    """
    from dataclasses import fields

    from ..config import DataConfig, TrainConfig
    from ..recipes import RECIPES
    from ..registry import keywords

    word, equals, value = flag.lstrip("-").partition("=")
    name = word.replace("-", "_")
    known = {f.name for part in (TrainConfig, DataConfig) for f in fields(part)}
    for recipe in RECIPES.names():
        known.update(keywords(RECIPES.load(recipe)))
    if name.rpartition(".")[2] not in known:
        return ""
    if not equals:
        value = after[0] if after and not after[0].startswith("--") else "..."
    return f"Write --set {name}={value}."
