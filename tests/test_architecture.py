"""Arrows point down: rooms import rooms of lower floors only. Files are small and documented."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "diabolo"
FLOORS = (
    ("errors", "spec", "noise", "signals"),  # the ground: words that every room uses
    ("registry", "ranks", "graph", "jacobians"),
    ("distributions", "nets", "config"),  # floor 0
    ("trace",),
    ("model", "data", "checkpoint"),
    ("views", "charges"),
    ("objectives", "latents", "priors", "posteriors"),
    ("train", "recipes"),
    ("evaluate", "trackers"),
    ("run",),
    ("tasks", "study", "exports"),
    ("panels",),
    ("reports", "explore"),
    ("cli", "estimators"),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
NO_ROOM = {"__init__", "__main__"}  # the lazy root, and the door of `python -m diabolo`
IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "imbalanced-learn": "imblearn",
}


def room_of(path: Path) -> str:
    """The room a source file lies in."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


FILES = sorted(p for p in SOURCE.rglob("*.py"))


def imported(path: Path, tree: ast.AST, package: str = "diabolo") -> set[str]:
    """Rooms that a file imports, wherever the import stands: in a function, under TYPE_CHECKING."""
    here = [package, *path.relative_to(SOURCE).parts[:-1]]
    rooms: set[str] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import priors` names a room; `from .priors import x` has it in the stem.
            names = [f"{stem}.{a.name}" for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                rooms.add(parts[1])
    return rooms


def climbing(room: str, others: set[str]) -> list[str]:
    """The imports of `room` that do not point down, as sentences."""
    bad = []
    for other in sorted(others - {room}):
        if other not in LEVEL:  # a name of the lazy root, or a room nobody placed
            bad.append(f"{room} -> {other} (not a room)")
        elif LEVEL[other] >= LEVEL[room]:
            bad.append(f"{room} -> {other} (not on a lower floor)")
    return bad


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(p) for p in FILES} - NO_ROOM
    assert rooms - set(LEVEL) == set(), "give the room a floor here and in docs/architecture.md"


def test_arrows_point_down() -> None:
    bad = []
    for path in FILES:
        room = room_of(path)
        if room in NO_ROOM:
            continue
        found = climbing(room, imported(path, ast.parse(path.read_text())))
        bad += [f"{path.relative_to(ROOT)}: {pair}" for pair in found]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("from ..objectives import elbo", True),
        ("from ..model import Trace", True),
        ("from diabolo.train import fit", True),
        ("import diabolo.cli.fit", True),
        ("from .. import recipes", True),
        ("if TYPE_CHECKING:\n    from ..data import Data", True),
        ("def f():\n    from ..run import Run", True),
        ("from .base import Family", False),
        ("from ..noise import FRESH", False),
        ("import torch", False),
    ],
)
def test_an_arrow_that_climbs_is_seen(line: str, bad: bool) -> None:
    path = SOURCE / "distributions" / "normal.py"
    found = climbing("distributions", imported(path, ast.parse(line)))
    assert bool(found) is bad


def test_the_page_shows_the_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    picture = page.split("```")[1]
    for room in LEVEL:
        assert re.search(rf"\b{room}\b", picture), f"docs/architecture.md lacks {room}"


def extras() -> set[str]:
    """Import names of the packages that only extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {
        re.split(r"[<>=\[; ]", requirement)[0]
        for group in project["optional-dependencies"].values()
        for requirement in group
    } - {project["name"]}
    return {IMPORT_NAMES.get(n, n.replace("-", "_")) for n in names}


def at_import(tree: ast.Module) -> set[str]:
    """Foreign packages that importing a module imports: not in functions, nor for types only."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
        waiting += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= 400, "over 400 lines: divide the file"
    assert ast.get_docstring(tree), "no module docstring"
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    assert any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets), "no __all__"
    assert at_import(tree) & extras() == set(), "extras are imported where they are used"
