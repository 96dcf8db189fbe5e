"""The verb `list`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

from ._options import Json
from ._talk import print_json, print_table, say

__all__ = ["list"]

Kind = Literal["recipes", "likelihoods", "priors", "posteriors", "networks", "data", "settings"]

# What a recipe passes to its parts itself, so that no user gives it.
INSIDE = {"posterior", "view", "spec", "net", "levels", "support", "config", "data_dir"}


def list(kind: Kind | None = None, /, *, json: Json = False) -> None:
    """Lists recipes, likelihoods, priors, posteriors, networks, data sets and settings.

    Args:
        kind: Which; all but the settings if left out.
        json: Print one JSON object.
    """
    shelves = MENU if kind is None else {kind: MENU.get(kind, _settings)}
    found = {name: shelf() for name, shelf in shelves.items()}
    if json:
        print_json(found)
        return
    for name, members in found.items():
        if name == "settings":
            rows = [(n, _text(e["default"]), e["summary"]) for n, e in members.items()]
            print_table(name, ("name", "default", "what it is"), rows)
            continue
        rows = [
            (member, ", ".join(f"{k}={_text(v)}" for k, v in e["options"].items()), e["summary"])
            for member, e in members.items()
        ]
        print_table(name, ("name", "options", "what it is"), rows)
        if name == "priors":
            say(
                "  Those that learn can also be fitted to the codes of a run, even of an "
                "autoencoder: diabolo refit RUN --prior gaussian\n"
            )


def _text(value: object) -> str:
    return "none" if value is None else str(value).replace(" ", "")


def _entry(member: Callable[..., Any], document: str | None, hidden: set[str]) -> dict[str, Any]:
    """Returns the options of a member with their defaults, and the first line of its docstring."""
    from ..registry import keywords

    options = {n: p.default for n, p in keywords(member).items() if n not in hidden}
    summary = inspect.cleandoc(document or "").split("\n")[0]
    empty = inspect.Parameter.empty
    return {
        "options": {n: None if v is empty else v for n, v in options.items()},
        "summary": summary,
    }


def _registry(registry: Any, hidden: set[str]) -> dict[str, Any]:
    members = {name: registry.load(name) for name in registry.names()}
    return {name: _entry(m, m.__doc__, hidden) for name, m in members.items()}


def _recipes() -> dict[str, Any]:
    from ..recipes import RECIPES

    return _registry(RECIPES, set())


def _likelihoods() -> dict[str, Any]:
    from ..distributions import families

    return {n: _entry(f.__init__, f.__doc__, INSIDE) for n, f in families().items()}


def _priors() -> dict[str, Any]:
    from ..priors import PRIORS

    return _registry(PRIORS, INSIDE)


def _posteriors() -> dict[str, Any]:
    from ..posteriors import POSTERIORS

    return _registry(POSTERIORS, INSIDE)


def _networks() -> dict[str, Any]:
    from ..nets import NETS

    return _registry(NETS, set())


def _data() -> dict[str, Any]:
    from ..data.sets import SETS

    return _registry(SETS, INSIDE)


def _settings() -> dict[str, Any]:
    from dataclasses import fields

    from ..config import DataConfig, TrainConfig

    found = {}
    for part, config in (("train", TrainConfig), ("data", DataConfig)):
        told = _arguments(config.__doc__ or "")
        for f in fields(config):
            found[f"{part}.{f.name}"] = {"default": f.default, "summary": told[f.name]}
    return found


def _arguments(document: str) -> dict[str, str]:
    """Returns the sentences on each argument out of a docstring."""
    text = inspect.cleandoc(document).split("Arguments:\n")[1].split("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line.startswith("    ") and not line.startswith("     "):
            name, _, rest = line.strip().partition(": ")
            found[name] = rest
        else:
            found[name] += f" {line.strip()}"
    return found


MENU: dict[str, Callable[[], dict[str, Any]]] = {
    "recipes": _recipes,
    "likelihoods": _likelihoods,
    "priors": _priors,
    "posteriors": _posteriors,
    "networks": _networks,
    "data": _data,
}
