"""What `anomalies.md` includes: the tables of the ADBench measurement, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

PEERS = ("Isolation Forest", "ECOD", "PyOD VAE", "PyOD AutoEncoder")
CLASSICAL = PEERS[:2]
METHODS = ("Diabolo", *PEERS)
LEVEL = 0.01  # of ROC-AUC, within which two methods are level


def of(record: dict[str, Any], method: str, name: str, what: str) -> list[float]:
    """The values of a method on a set, one a seed."""
    return [r[what] for r in record["rows"] if r["method"] == method and r["set"] == name]


def means(record: dict[str, Any], method: str, sets: list[str], what: str) -> float:
    """The mean over sets of the means over seeds."""
    return float(np.mean([np.mean(of(record, method, s, what)) for s in sets]))


def spread(record: dict[str, Any], method: str, sets: list[str], what: str) -> float:
    """The standard deviation over seeds of the mean over sets."""
    return float(np.std(np.mean([of(record, method, s, what) for s in sets], axis=0), ddof=1))


def complete(record: dict[str, Any], sets: list[str]) -> bool:
    """Whether every method has the same number of seeds, two at least, on each of the sets."""
    counts = {len(of(record, m, s, "auc")) for m in METHODS for s in sets}
    return len(counts) == 1 and min(counts) > 1


def table(record: dict[str, Any], sets: list[str]) -> list[str]:
    """ROC-AUC / average precision of each set and method, and their means with spread."""
    lines = [f"| | {' | '.join(METHODS)} |", f"|---|{'--:|' * len(METHODS)}"]
    for name in sets:
        cells = []
        for method in METHODS:
            auc, ap = (of(record, method, name, what) for what in ("auc", "ap"))
            cells.append(f"{np.mean(auc):.3f} / {np.mean(ap):.3f}" if auc else "")
        lines.append(f"| {name.partition('_')[2]} | {' | '.join(cells)} |")
    if complete(record, sets):
        cells = [
            " / ".join(
                f"{means(record, m, sets, w):.3f} ± {spread(record, m, sets, w):.3f}"
                for w in ("auc", "ap")
            )
            for m in METHODS
        ]
        lines.append(f"| **mean** | {' | '.join(f'**{c}**' for c in cells)} |")
    return [*lines, ""]


def verdict(record: dict[str, Any], sets: list[str]) -> str:
    """What the means say of Diabolo beside PyOD's VAE and the best classical method."""
    auc = {m: means(record, m, sets, "auc") for m in METHODS}
    ap = {m: means(record, m, sets, "ap") for m in METHODS}
    best = max(CLASSICAL, key=auc.__getitem__)
    beaten = "beats" if auc["Diabolo"] > auc["PyOD VAE"] else "does NOT beat"
    gap = auc["Diabolo"] - auc[best]
    word = "level with" if abs(gap) <= LEVEL else "better than" if gap > 0 else "NOT level with"
    return (
        f"In the mean over these sets Diabolo's default {beaten} PyOD's VAE (ROC-AUC "
        f"{auc['Diabolo']:.3f} against {auc['PyOD VAE']:.3f}, average precision "
        f"{ap['Diabolo']:.3f} against {ap['PyOD VAE']:.3f}) and is {word} the best classical "
        f"method by ROC-AUC, {best} ({auc[best]:.3f}; average precision {ap[best]:.3f}), where "
        f"level means within {LEVEL:g}."
    )


def variants(record: dict[str, Any], sets: list[str]) -> list[str]:
    """The means of other scores of the same fits."""
    names = dict.fromkeys(r["method"] for r in record["rows"] if r["method"].startswith("Diabolo"))
    lines = ["| score | ROC-AUC | average precision |", "|---|--:|--:|"]
    for name in names:
        found = [f"{means(record, name, sets, what):.3f}" for what in ("auc", "ap")]
        score = record["settings"]["score"] if name == "Diabolo" else name.partition(", ")[2]
        lines.append(f"| `{score}` | {' | '.join(found)} |")
    return [*lines, ""]


def page(record: dict[str, Any]) -> str:
    """All of it."""
    reported, choosing = record["reported"], record["choosing"]
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items() if v)
    seeds = len({r["seed"] for r in record["rows"]})
    seconds = {
        m: np.mean([r["seconds"] for r in record["rows"] if r["method"] == m]) for m in METHODS
    }
    lines = [
        f"Measured on {record['date']} at commit `{record['commit']}`: {record['machine']}, one "
        f"thread, Python {record['python']}, {versions}; {seeds} seeds. Cells are ROC-AUC / "
        "average precision, means over seeds; ± is the standard deviation over seeds of the mean "
        "over sets.",
        "",
        "### The five sets that the default was not chosen on",
        "",
        *table(record, reported),
    ]
    if complete(record, reported):
        lines += [verdict(record, reported), ""]
    lines += ["### Six of the sets that the default was chosen on", "", *table(record, choosing)]
    if complete(record, reported):
        lines += [
            "### Other scores of the same fits, on the five",
            "",
            *variants(record, reported),
        ]
    told = ", ".join(f"{m} {s:.1f} s" for m, s in seconds.items())
    lines += [f"Mean time of a fit with all its scores: {told}.", ""]
    return "\n".join(lines)


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    source = results / "anomalies.json"
    text = "Not measured yet.\n"
    if source.exists():
        text = page(json.loads(source.read_text(encoding="utf-8")))
    file = folder / "anomalies.inc"
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
