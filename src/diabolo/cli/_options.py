"""Flags that several verbs share, and `--set name=value`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import DiaboloError

__all__ = ["Flag", "Force", "Json", "Marginal", "parse_set", "parse_value"]

Json = Annotated[bool, Parameter(name="--json", negative="")]
Force = Annotated[bool, Parameter(name="--force", negative="")]
Marginal = Annotated[bool, Parameter(name="--marginal", negative="")]
Flag = Parameter(negative="")

WORDS = {"none": None, "null": None, "true": True, "false": False}


def parse_value(text: str) -> Any:
    """Returns the Python literal that `text` writes, else the words none, true, false, or itself.

    Example:
        >>> parse_value("1e-3"), parse_value("none"), parse_value("mlp(hidden=(256, 256))")
        (0.001, None, 'mlp(hidden=(256, 256))')
    """
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


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
        if name in options:
            raise DiaboloError(f"--set gives '{name}' twice.")
        options[name] = parse_value(value)
    for name, value in flags.items():
        if value is None or value is False:
            continue
        if name in options or f"data.{name}" in options:
            flag = f"--{name.replace('_', '-')}"
            raise DiaboloError(f"Both {flag} and --set give '{name}': use one of them.")
        options[f"data.{name}"] = value
    return options
