"""One HTML file that holds all it needs: no address but its own, and a policy that says so."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import missing_extra
from ._blocks import Part
from ._svg import plain, subscripts

__all__ = ["MAP", "page"]

HERE = Path(__file__).parent
MAP = HERE.parent / "explore" / "page" / "report.js"  # built with the explorer's page


def page(title: str, lead: str, parts: Sequence[Part], **facts: Any) -> str:
    """Returns a whole HTML document.

    Arguments:
        title: Its title.
        lead: The sentence below it.
        parts: What stands in it.
        facts: `tiles`, (name, value, more) that stand at the top, and `foot`, the last line.

    Raises:
        DiaboloError: If Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise missing_extra("jinja2", "report", "A report") from None
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast(dict[str, Any], environment.filters)
    filters |= {"subscripts": subscripts, "plain": plain, "json": _json}
    style = (HERE / "page.css").read_text("utf-8")
    script = _script() if any(_has_map(p) for p in parts) else ""
    policy = ["default-src 'none'", "img-src data:", f"style-src {_hash(style)}"]
    policy += [f"script-src {_hash(script)}"] if script else []
    policy += ["base-uri 'none'", "form-action 'none'"]
    return environment.get_template("page.html").render(
        title=title,
        lead=lead,
        parts=parts,
        style=style,
        script=script,
        policy="; ".join(policy),
        **{"tiles": (), "foot": "", **facts},
    )


def _has_map(part: Part) -> bool:
    return any(getattr(b, "map", None) is not None for b in part.blocks)


def _script() -> str:
    """Returns the script of the interactive map, which cannot end its element early."""
    return MAP.read_text("utf-8").replace("</script", "<\\/script")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(value: Any) -> str:
    """Returns JSON in which no HTML begins."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
