"""What `benchmarks.md` includes: the tables and figures of the committed measurements."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from beside import extra, report  # noqa: E402  (its folder is no package's)

TITLES = {
    "train-mlp-b128": "Training: perceptron 784-400-20, batches of 128",
    "train-mlp-b512": "Training: perceptron 784-400-20, batches of 512",
    "train-conv": "Training: small convolutional VAE, batches of 128",
    "likelihood": "Log-likelihood by importance sampling, k = 1000",
    "sampling": "Sampling 10,000 images",
    "encoding": "Encoding 10,000 images",
    "memory": "Most memory held, one epoch of MNIST",
    "startup-import": "Start-up: the import",
    "startup-first-step": "Start-up: a process that takes one step",
    "startup-help": "Start-up: the command line's help",
}
HEADS = ("", "rounds", "", "× Pythae", "lowest-highest", "× scaled", "of floor", "of ideal", "goal")
TAKEN = (0, 1, 2, 3, 4, 5, 6, 7, 10)  # of `report.cells`


def tables(record: dict[str, Any]) -> str:
    """The rows as a table for each section, with the machine above."""
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    lines = [
        f"Measured on {record['date']} at commit `{record['commit']}`: {record['machine']}, "
        f"Python {record['python']}, {versions}. Data: {record['data']}.",
        "",
        *_limits(record),
    ]
    for section in dict.fromkeys(r["section"] for r in record["rows"]):
        rows = [report.cells(r) for r in record["rows"] if r["section"] == section]
        keep = [i for i, cell in enumerate(TAKEN) if any(row[cell] for row in rows)]
        lines += [
            f"### {TITLES[section]}",
            "",
            f"| {' | '.join(HEADS[i] for i in keep)} |",
            f"|---|{'--:|' * (len(keep) - 1)}",
            *(f"| {' | '.join(row[TAKEN[i]] for i in keep)} |" for row in rows),
            "",
        ]
    lines += _agreements(record)
    return "\n".join(lines)


def goals(record: dict[str, Any]) -> str:
    """The rows with a goal, on one more machine."""
    lines = [
        f"### {record['machine']}",
        "",
        f"Measured on {record['date']} at commit `{record['commit']}`.",
        "",
        "| | | rounds | × Pythae | lowest-highest | goal |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in (r for r in record["rows"] if r["goal"]):
        cells = report.cells(row)
        section = TITLES[row["section"]]
        lines.append(f"| {section} | {' | '.join(cells[i] for i in (0, 1, 3, 4, 10))} |")
    return "\n".join([*lines, ""])


def _limits(record: dict[str, Any]) -> list[str]:
    floors = [c for c in record["calls"] if c["section"] == "floor"]
    if not floors:
        return []
    peak = {k: max(c["peak_gflops"][k] for c in floors) for k in floors[0]["peak_gflops"]}
    copy = max(c["copy_gb"] for c in floors)
    adam = min(c["adam_us"]["mlp"] for c in floors)
    return [
        f"Its limits, measured in the same run: {peak['float32']:.0f} GFLOP/s in float32 and "
        f"{peak['bf16']:.0f} in bfloat16 (square products), {copy:.0f} GB/s of copying, "
        f"{adam:.0f} µs for a step of fused Adam on the perceptron's 652,824 "
        "weights.",
        "",
    ]


def _agreements(record: dict[str, Any]) -> list[str]:
    found = report.agreement(record["rows"])
    if not found:
        return []
    worst = max(found, key=lambda a: abs(a["gap"]) / a["error"])
    word = "agree" if all(a["agrees"] for a in found) else "DISAGREE"
    return [
        f"The log-likelihoods {word}: on the same images and weights the largest difference "
        f"({worst['entry']}) is {worst['gap']:+.3f} nats, with a Monte Carlo error of "
        f"{worst['error']:.3f}.",
        "",
    ]


def curves(record: dict[str, Any]) -> str:
    """The verdicts on the learning curves."""
    found = report.curve_verdicts(record["curves"], extra.BASE)
    if not found:
        return "Not measured yet.\n"
    lines = [
        "| | seeds | last epoch, minus Pythae (nats) | least p of an epoch | verdict |",
        "|---|--:|--:|--:|---|",
    ]
    for v in found:
        word = "moved" if v["moved"] else "within seed noise"
        gap = f"{v['gap'][-1]:+.2f} ± {v['error'][-1]:.2f}"
        lines.append(f"| {v['entry']} | {v['seeds']} | {gap} | {min(v['p']):.3f} | {word} |")
    return "\n".join([*lines, "", "![](generated/curves.svg)", ""])


def draw_curves(record: dict[str, Any], file: Path) -> None:
    """Draws the validation ELBO of each way of training: the seeds' mean, least and largest."""
    from diabolo.panels._figure import new, tidy

    figure = new(8, 3.8, "Learning curves", "Mean over seeds; the shade is from least to largest.")
    ax = figure.subplots()
    for name in dict.fromkeys(r["entry"] for r in record["curves"]):
        seeds = np.array([r["elbo"] for r in record["curves"] if r["entry"] == name])
        epoch = np.arange(1, seeds.shape[1] + 1)
        (line,) = ax.plot(epoch, seeds.mean(0), lw=1.3, label=name)
        ax.fill_between(epoch, seeds.min(0), seeds.max(0), color=line.get_color(), alpha=0.12)
    tidy(ax, "epoch", "validation ELBO (nats per datum)")
    ax.legend(fontsize=8.5, frameon=False)
    _save(figure, file)


AXES = {
    "latent": ("latent size", "latent elements"),
    "data": ("data", "training data"),
    "k": ("posterior samples", "k"),
}


def draw_growth(record: dict[str, Any], file: Path) -> None:
    """Draws time and memory against latent size, number of data and k."""
    from diabolo.panels._figure import BLUE, ORANGE, new, tidy

    caption = (
        f"{record['machine']}. Perceptron 784-400, batches of 128. Time is that of an epoch for "
        "the data, of 1000 data elsewhere; memory is the most that the process held."
    )
    figure = new(10.5, 5.6, "How cost grows", caption)
    there = {k: v for k, v in AXES.items() if any(p["axis"] == k for p in record["points"])}
    axes = figure.subplots(2, len(there), sharex="col", squeeze=False)
    for column, (axis, (title, label)) in enumerate(there.items()):
        for way, color in zip(extra.GROWING, (BLUE, ORANGE), strict=True):
            points = [p for p in record["points"] if p["axis"] == axis and p["way"] == way]
            points.sort(key=lambda p: p["value"])
            x = [p["value"] for p in points]
            per = [p["seconds"] * (1 if axis == "data" else 1000 / p["n"]) for p in points]
            axes[0, column].plot(x, per, "o-", color=color, lw=1.5, ms=4, label=way)
            memory = [p["memory"] for p in points]
            axes[1, column].plot(x, memory, "o-", color=color, lw=1.5, ms=4)
        axes[0, column].set(xscale="log", yscale="log", title=title)
        axes[1, column].set(ylim=(0, None))
        tidy(axes[0, column], "", "seconds an epoch" if axis == "data" else "seconds, 1000 data")
        tidy(axes[1, column], label, "MiB")
    axes[0, 0].legend(fontsize=8.5, frameon=False)
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "diabolo"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    record = json.loads((results / "bench.json").read_text())
    grown = json.loads((results / "growth.json").read_text())
    figure = "![](generated/growth.svg)\n" if grown["points"] else "Not measured yet.\n"
    others = (json.loads(f.read_text()) for f in sorted(results.glob("bench-*.json")))
    texts = {
        "bench.inc": "\n".join([tables(record), *map(goals, others)]),
        "curves.inc": curves(record),
        "growth.inc": figure,
    }
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    if grown["points"]:
        draw_growth(grown, folder / "growth.svg")
    if report.curve_verdicts(record["curves"], extra.BASE):
        draw_curves(record, folder / "curves.svg")
