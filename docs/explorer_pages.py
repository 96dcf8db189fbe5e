"""What `explorer.md` includes: how fast the page is, out of the committed benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

MODELS = {"dense": "dense, 784-200-200-50", "conv": "convolutional, 32 latent elements"}
PAGES = {
    ("live", "at once"): "live, while slow maps are made",
    ("live", "later"): "live, when they are ready",
    ("static", "at once"): "exported folder",
}


def table(record: dict[str, Any]) -> str:
    """The page's tables."""
    if not record["rows"]:
        return "Not measured yet.\n"
    missed = [r for r in record["rows"] if not r["met"]]
    loads = sorted(r["load"] for r in record["rows"])
    lines = [
        f"Measured on {record['machine']} {record['browser']}. Load of the machine before each "
        f"measurement: {loads[0]:.1f} to {loads[-1]:.1f}.",
        "",
        "| Model | Page | Events | Median, ms | 95 % within, ms | Target, ms |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for r in record["rows"]:
        where = PAGES[r["page"], r["moment"]]
        told = f"{r['p95']:.1f}" if r["met"] else f"**{r['p95']:.1f}**"
        cells = [MODELS[r["model"]], where, str(r["n"]), f"{r['median']:.1f}", told]
        lines.append(f"| {' | '.join([*cells, format(r['target'], '.0f')])} |")
    lines += [
        "",
        "| Model | Page | Points | First view, median, ms | Slowest, ms | Target, ms |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for v in record["first_views"]:
        worst = f"{max(v['ms']):.0f}" if v["met"] else f"**{max(v['ms']):.0f}**"
        page = {"live": "live", "static": "exported folder"}[v["page"]]
        cells = [MODELS[v["model"]], page, f"{v['points']:,}", f"{median(v['ms']):.0f}", worst]
        lines.append(f"| {' | '.join([*cells, format(v['target'], '.0f')])} |")
    if missed or not all(v["met"] for v in record["first_views"]):
        lines += ["", "Figures in bold miss their target."]
    return "\n".join(lines) + "\n"


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    file, place = folder / "explorer.inc", results / "explorer.json"
    record = json.loads(place.read_text()) if place.exists() else {"rows": []}
    text = table(record)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
