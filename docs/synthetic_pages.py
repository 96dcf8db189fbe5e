"""What `synthetic.md` includes: the tables of the committed benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TITLES = {"adult": "Adult", "wine": "White wines", "cancer": "Breast cancer"}
HEADS = {
    "columns": ("columns", 3),
    "pairs": ("pairs", 3),
    "two-sample": ("two-sample", 3),
    "utility": ("utility", 3),
    "distance": ("distance", 2),
    "copies": ("copies", 2),
    "membership": ("membership", 3),
}


def _cell(found: dict[str, Any] | None, digits: int) -> str:
    if found is None:
        return ""
    spread = "" if found["sd"] is None else f" ± {found['sd']:.{digits}f}"
    return f"{found['mean']:.{digits}f}{spread}"


def tables(record: dict[str, Any]) -> str:
    """A table for each set: samplers by numbers."""
    lines = [
        f"Mean ± standard deviation over {record['seeds']} seeds, {record['epochs']} epochs.",
        "",
    ]
    for name, found in record["sets"].items():
        lines += [
            f"**{TITLES[name]}**: {found['rows']} rows, {found['columns']} columns, "
            f"'{found['target']}' foretold.",
            "",
            f"| rows of | {' | '.join(head for head, _ in HEADS.values())} |",
            f"|---|{'--:|' * len(HEADS)}",
        ]
        lines += [
            f"| {sampler} | "
            + " | ".join(_cell(values[key], digits) for key, (_, digits) in HEADS.items())
            + " |"
            for sampler, values in found["samplers"].items()
        ]
        lines.append("")
    return "\n".join(lines)


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    file = folder / "synthetic.inc"
    text = tables(json.loads((results / "synthesize.json").read_text(encoding="utf-8")))
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
