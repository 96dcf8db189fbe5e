"""The pages of the experiments: their full figures and numbers, and a line for every claim."""

from __future__ import annotations

import ast
import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "examples" / "experiments"
VERDICT = {True: "passed", False: "**missed**", None: "told"}


def title(script: Path) -> str:
    """The heading in a script's docstring."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0]


def records(results: Path) -> list[dict[str, Any]]:
    """What the full settings found, in the gallery's order."""
    out = []
    for script in sorted(SCRIPTS.glob("plot_*.py")):
        file = results / "experiments" / f"{script.stem.removeprefix('plot_')}.json"
        if file.exists():
            out.append(json.loads(file.read_text(encoding="utf-8")) | {"title": title(script)})
    return out


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


def _number(claim: dict[str, Any]) -> str:
    error = "" if claim["stderr"] is None else f" ± {claim['stderr']:.2g}"
    return f"{float(claim['value']):.4g}{error} {claim['unit']}".strip()


def _asked(claim: dict[str, Any]) -> str:
    asked = _cell(claim["threshold"] or "")
    if claim["given"] is None:
        return asked
    return f"{asked} (the row: {_cell(claim['given'])}; changed: {_cell(claim['changed'])})"


def _page(record: dict[str, Any], text: str) -> str:
    return f"[{text}](../gallery/experiments/plot_{record['name']}.rst)"


def experiments(found: Iterable[dict[str, Any]]) -> str:
    """The figure and the claims of each experiment with full settings."""
    lines = [
        "# Experiments at full size",
        "",
        "The [gallery](../gallery/experiments/index.rst) runs each idea with settings that take "
        "seconds. These are the figures and numbers of the full ones, each by one command "
        "(`make experiments DATA=DATA` runs all of them). A claim is *passed* or **missed** "
        "against its threshold; what has none is *told*.",
        "",
    ]
    for r in found:
        lines += [f"## {r['title']}", ""]
        lines += [
            f"`python examples/experiments/plot_{r['name']}.py --full --data-dir DATA`: "
            f"{r['seconds']:.0f} seconds of one core. Idea and code: {_page(r, r['title'])}.",
            "",
            f"![{r['title']}](experiments/{r['name']}.png)",
            "",
            "| row | measured | value | threshold | |",
            "|---|---|--:|---|---|",
        ]
        lines += [
            f"| [{c['row']}](rows.md) | {_cell(c['what'])} | {_number(c)} | {_asked(c)} | "
            f"{VERDICT[c['passed']]} |"
            for c in r["claims"]
        ]
        lines.append("")
    return "\n".join(lines)


def rows(found: list[dict[str, Any]]) -> str:
    """One part of the table for every claim, A1 to A63."""
    known = tomllib.loads((SCRIPTS / "rows.toml").read_text(encoding="utf-8"))
    claims = [(r, c) for r in found for c in r["claims"]]
    verdicts = [
        _of_row(entry, [c for _, c in claims if c["row"] == row]) for row, entry in known.items()
    ]
    counted = Counter(verdicts)
    lines = [
        "# Every claim, A1 to A63",
        "",
        "What Doersch's tutorial and five notes on it say, what a correct implementation must "
        "show, and what was measured with the full settings of the experiments. A row is passed "
        "if all that is judged of it is; in part, if it asks for more, which is named.",
        "",
        f"Passed {counted['passed']}, passed in part {counted['passed in part']}, missed "
        f"{counted['**missed**']}, told {counted['told']}, "
        f"not measured {counted['**not measured**']}.",
        "",
        "| row | what is claimed, and what shows it | measured | threshold | |",
        "|---|---|--:|---|---|",
    ]
    for (row, entry), verdict in zip(known.items(), verdicts, strict=True):
        asks = f"*{_cell(entry['asks'])}*" if "asks" in entry else ""
        lines.append(
            f"| **{row}** | **{_cell(entry['says'])}** {_words(entry)} | | {asks} | {verdict} |"
        )
        lines += [
            f"| | {_cell(c['what'])} ({_page(r, r['name'])}) | {_number(c)} | {_asked(c)} | "
            f"{VERDICT[c['passed']]} |"
            for r, c in claims
            if c["row"] == row
        ]
    return "\n".join([*lines, ""])


def _words(entry: dict[str, str]) -> str:
    """What stands in place of a measurement, or of a part of it."""
    lacks = f"Not shown: {_cell(entry['lacks'])}." if "lacks" in entry else ""
    return entry.get("told", entry.get("missing", lacks))


def _of_row(entry: dict[str, str], claims: list[dict[str, Any]]) -> str:
    """A row's verdict: that of the worst of its claims, and no full one if it asks for more."""
    if "missing" in entry:
        return "**not measured**"
    judged = [c["passed"] for c in claims if c["passed"] is not None]
    if not judged:
        return VERDICT[None]
    return "passed in part" if all(judged) and "lacks" in entry else VERDICT[all(judged)]


def write(folder: Path, results: Path) -> None:
    """Writes both pages and copies the figures beside them."""
    found = records(results)
    (folder / "experiments").mkdir(parents=True, exist_ok=True)
    for r in found:
        name = f"{r['name']}.png"
        shutil.copyfile(results / "experiments" / name, folder / "experiments" / name)
    for name, text in {"experiments.md": experiments(found), "rows.md": rows(found)}.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
