"""The built page: its files by name, or a sentence on how to build it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import DiaboloError

__all__ = ["KINDS", "page"]

PLACE = Path(__file__).parent / "page"
INDEX = "index.html"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


def page(place: Path | None = None) -> Mapping[str, Path]:
    """Returns the files of the page by their address, such as `assets/x.js`.

    Only they are ever served: links and other files are passed over.

    Arguments:
        place: The folder of the built page; None takes the one in the package.

    Raises:
        DiaboloError: If the page was not built.
    """
    place = PLACE if place is None else place
    found: dict[str, Path] = {}
    for folder, inner, names in os.walk(place):
        inner[:] = [n for n in inner if not n.startswith(".")]
        for name in names:
            path = Path(folder) / name
            if path.suffix in KINDS and not name.startswith(".") and not path.is_symlink():
                found[path.relative_to(place).as_posix()] = path
    if INDEX not in found:
        raise DiaboloError(
            "The explorer's page is not built: run `make web` in the sources (it needs Node), or "
            "install diabolo from a wheel, which has it."
        )
    return found
