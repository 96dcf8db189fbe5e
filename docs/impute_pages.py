"""What `imputation.md` includes: the table of the committed benchmark, and its verdicts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

OURS, MEANS = "Diabolo", "means and modes"
PATTERNS = {
    "mcar": "20 % missing completely at random",
    "mar": "20 % missing at random, given two columns that are always seen",
}
TITLES = {"adult": "Adult", "wine_quality": "Wine quality", "breast_cancer": "Breast cancer"}
MEASURES = {"rmse": "numbers", "error_rate": "classes"}
WORDS = {"better": "better than", "level": "level with", "worse": "**worse than**"}
LEVEL = 0.02  # of the other's error: a difference that is no better and no worse
NOISE = 0.05  # likewise, where masks differ by as much


def _values(rows: list[dict[str, Any]], imputer: str, key: str) -> np.ndarray:
    """One value a mask, in the order of the masks."""
    own = sorted((r for r in rows if r["imputer"] == imputer), key=lambda r: r["mask"])
    return np.array([r[key] for r in own if r.get(key) is not None])


def _cell(values: np.ndarray, digits: int = 3) -> str:
    if not len(values):
        return ""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def compared(ours: np.ndarray, other: np.ndarray) -> str:
    """`better`, `level` or `worse`: by the paired differences over the masks.

    A difference of one in fifty of the error is none, and one of up to one in twenty is none if
    it lies within two of its standard errors.
    """
    gap = ours - other
    error = gap.std(ddof=1) / math.sqrt(len(gap)) if len(gap) > 1 else math.inf
    if abs(gap.mean()) <= max(LEVEL * other.mean(), min(2 * error, NOISE * other.mean())):
        return "level"
    return "better" if gap.mean() < 0 else "worse"


def _verdict(rows: list[dict[str, Any]]) -> str:
    """A sentence on one set under one pattern."""
    parts = []
    if not any(r["imputer"] == OURS for r in rows):
        return ""
    for key, what in MEASURES.items():
        ours = _values(rows, OURS, key)
        if not len(ours):
            continue
        words = []
        for imputer in dict.fromkeys(r["imputer"] for r in rows):
            other = _values(rows, imputer, key)
            if imputer != OURS and len(other) == len(ours):
                words.append(f"{WORDS[compared(ours, other)]} {imputer}")
        parts.append(f"{what}: {', '.join(words)}")
    covered = 100 * _values(rows, OURS, "coverage").mean()
    kept = "as they should (87 to 93 %)" if 87 <= covered <= 93 else "**outside 87 to 93 %**"
    return f"Diabolo is, by {'; by '.join(parts)}. Its 90 % intervals hold {covered:.1f} %, {kept}."


def table(record: dict[str, Any]) -> str:
    """The benchmark, one table for each set, with what was found in a sentence."""
    if not record["rows"]:
        return "Not measured yet.\n"
    seconds = sum(r["seconds"] for r in record["rows"])
    lines = [
        f"Measured on {record['date']}: {record['machine']} All rows took {seconds / 60:.0f} "
        "minutes of one core. `±` is the standard deviation over the masks.",
        "",
    ]
    for name, about in record["sets"].items():
        lines += [f"### {TITLES[name]}", "", about["about"], ""]
        for pattern, told in PATTERNS.items():
            rows = [r for r in record["rows"] if (r["set"], r["pattern"]) == (name, pattern)]
            if not rows:
                continue
            masks = len({r["mask"] for r in rows})
            lines += [
                f"{told[0].upper()}{told[1:]}, {masks} masks:",
                "",
                "| | numbers: RMSE | classes: wrong | in 90 % intervals | seconds |",
                "|---|--:|--:|--:|--:|",
            ]
            for imputer in [
                OURS,
                *dict.fromkeys(r["imputer"] for r in rows if r["imputer"] != OURS),
            ]:
                cells = [_cell(_values(rows, imputer, k)) for k in ("rmse", "error_rate")]
                cells.append(_cell(100 * _values(rows, imputer, "coverage"), 1))
                cells.append(f"{_values(rows, imputer, 'seconds').mean():.1f}")
                lines.append(f"| {imputer} | {' | '.join(cells)} |")
            lines += ["", _verdict(rows), ""]
    return "\n".join(lines)


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    file, place = folder / "impute.inc", results / "impute.json"
    record = json.loads(place.read_text()) if place.exists() else {"rows": []}
    text = table(record)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
