"""Public names and signatures change on purpose only: they are compared with a snapshot.

Renew the snapshot with: python tests/test_public_api.py
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import diabolo

SNAPSHOT = Path(__file__).with_name("public_api.txt")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def annotation(value: Any) -> str:
    return value if isinstance(value, str) else inspect.formatannotation(value)


def signature(function: Any) -> str:
    """The signature as one line, with annotations as they are written."""
    try:
        found = inspect.signature(function)
    except ValueError:  # classes of the standard library's own making
        return "(...)"
    parts, star = [], False
    for p in found.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            star = True
        elif p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        text = mark + p.name
        if p.annotation is not p.empty:
            text += f": {annotation(p.annotation)}"
        if p.default is not p.empty:
            text += f" = {ADDRESS.sub('', repr(p.default))}"
        parts.append(text)
    end = found.return_annotation
    back = "" if end is found.empty else f" -> {annotation(end)}"
    return f"({', '.join(parts)}){back}"


def lines(name: str, value: Any) -> Iterator[str]:
    """A name, what it is, and the public members that a class itself defines."""
    if inspect.isclass(value):
        yield f"{name}{signature(value)}"
        for key, member in sorted(vars(value).items()):
            if key.startswith("_"):
                continue
            if isinstance(member, classmethod | staticmethod):
                member = member.__func__
            if isinstance(member, property):
                yield f"{name}.{key}"
            elif inspect.isfunction(member):
                yield f"{name}.{key}{signature(member)}"
    elif callable(value):
        yield f"{name}{signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def surface() -> list[str]:
    """Every public name of the root and of the rooms it shows."""
    found: list[str] = []
    for name in diabolo.__all__:
        value = getattr(diabolo, name)
        if isinstance(value, ModuleType):
            for inner in sorted(value.__all__):
                found += lines(f"diabolo.{name}.{inner}", getattr(value, inner))
        else:
            found += lines(f"diabolo.{name}", value)
    return found


def test_public_names_and_signatures_are_those_of_the_snapshot() -> None:
    wanted = SNAPSHOT.read_text().splitlines()
    changes = list(difflib.unified_diff(wanted, surface(), "snapshot", "now", n=0, lineterm=""))
    renew = "If this is on purpose: python tests/test_public_api.py"
    assert not changes, "\n".join([*changes, renew])


def test_every_public_name_is_documented() -> None:
    bare = []
    for name in diabolo.__all__:
        value = getattr(diabolo, name)
        if callable(value) or isinstance(value, ModuleType):
            bare += [] if inspect.getdoc(value) else [name]
    assert not bare


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(surface()) + "\n")
