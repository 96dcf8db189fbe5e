"""The command line: one file a verb, imported when it is called.

`cli/<verb>.py` defines `<verb>(...)`, whose signature and docstring are its options and its help.
The folder is the registry: nothing is imported to print the list of verbs, only read.
"""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

from cyclopts import App

__all__ = ["make_app", "verbs"]

ORDER = ("demo", "fit", "evaluate", "sample", "reconstruct", "encode", "decode")  # then the rest

SUMMARY = """Autoencoders and variational autoencoders whose numbers can be trusted.

Begin with `diabolo demo`: it trains a variational autoencoder on handwritten digits in a minute.
"""


def verbs() -> dict[str, str]:
    """Returns the first line of each verb's help by the verb's name, without importing any."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == path.stem:
                found[path.stem] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


def make_app() -> App:
    """Returns the command line as a cyclopts application."""
    app = App(
        name="diabolo",
        help=SUMMARY,
        version=f"diabolo {version('diabolo')}",
        suppress_keyboard_interrupt=False,
    )
    for name, summary in verbs().items():
        place = ORDER.index(name) if name in ORDER else len(ORDER)
        app.command(f"{__name__}.{name}:{name}", name=name, help=summary, sort_key=place)
    return app
