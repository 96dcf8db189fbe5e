"""Few labels, rare classes and few positives: what pages include of their measurements."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any


def few_labels(record: dict[str, Any]) -> str:
    """The classifiers, best first, and the differences within draws."""
    vae, m2 = (
        " ".join(f"{k}={v}" for k, v in record["settings"][n].items()) for n in ("vae", "m2")
    )
    dimensions = sorted(map(int, record["chosen"]["dimension"]))
    minutes = sum(record["seconds"].values()) / 60
    lines = [
        f"{record['labels']} labels of {record['data']}, ten of each class; all {record['test']} "
        f"test images. {record['machine']} {minutes:.0f} minutes in all.",
        "",
        "| | right, % | spread over draws | draws |",
        "|---|--:|--:|--:|",
    ]
    for row in sorted(record["rows"], key=lambda r: -r["mean"]):
        spread = "" if row["spread"] is None else f"{row['spread']:.1f}"
        lines.append(f"| {row['name']} | {row['mean']:.1f} | {spread} | {len(row['draws'])} |")
    lines += ["", "| differences within draws | points | stderr |", "|---|--:|--:|"]
    for pair in record["paired"]:
        lines.append(
            f"| {pair['a']}, less {pair['b']} | {pair['points']:+.1f} | {pair['stderr']:.1f} |"
        )
    lines += [
        "",
        f"The VAE: `{vae}`. m2: `{m2}`, a short training. Principal components that "
        f"cross-validation took: {dimensions[0]} to {dimensions[-1]}. Features that it took: "
        + ", ".join(
            f"{name} in {record['chosen']['features'].count(name)} draws"
            for name in dict.fromkeys(record["chosen"]["features"])
        )
        + ".",
        "",
    ]
    return "\n".join(lines)


def balance(record: dict[str, Any]) -> str:
    """A table of scores for each set, the drawn rows beside each remedy, and near copies."""
    lines = [
        f"{record['machine']} Mean and spread over the outer folds; a difference has its corrected "
        "standard error, and p after Holm's correction.",
        "",
    ]
    for part in record["sets"]:
        outer, repeats, inner = part["folds"]
        counts = ", ".join(f"{name} {n}" for name, n in part["counts"].items())
        metrics = list(part["scores"])
        lines += [
            f"### {part['name'][:1].upper()}{part['name'][1:]}",
            "",
            f"{part['rows']} rows of {part['numbers']} numbers: {counts}. {part['classifier']}; "
            f"{outer} folds, drawn {repeats} times, {inner} inner folds; {part['seconds']} s.",
            "",
            f"| remedy | {' | '.join(metrics)} | near copies of new rows |",
            "|---|--:|--:|--:|--:|",
        ]
        for remedy in part["scores"][metrics[0]]:
            scores = (part["scores"][m][remedy] for m in metrics)
            cells = [f"{mean(s):.3f} ± {stdev(s):.3f}" for s in scores]
            near = part["near"].get(remedy)
            told = "" if near is None else f"{near['near']} of {near['rows']}"
            told += "" if near is None else f" ({near['expected']:.0f} expected)"
            lines.append(f"| {remedy} | {' | '.join(cells)} | {told} |")
        lines += ["", "| drawn rows less | " + " | ".join(metrics) + " |", "|---|--:|--:|--:|"]
        for other in dict.fromkeys(g["other"] for g in part["gains"]):
            cells = [_gain(g) for g in part["gains"] if g["other"] == other]
            lines.append(f"| {other} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, _counted(record["sets"]), ""])


def few_positives(record: dict[str, Any]) -> str:
    """What drawn rows are worth beside nothing and class weights, a line for each set."""
    remedies = ("nothing", "class weights", "drawn rows")
    heads = [f"{m}: {r}" for m in ("balanced accuracy", "average precision") for r in remedies]
    lines = [f"| | rarest class | {' | '.join(heads)} |", "|---|--:|" + "--:|" * len(heads)]
    for part in record["sets"]:
        share = min(part["counts"].values()) / part["rows"]
        cells = [f"{mean(part['scores'][m][r]):.3f}" for m, r in (h.split(": ") for h in heads)]
        lines.append(f"| {part['name']} | {share:.1%} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _gain(g: dict[str, Any]) -> str:
    text = f"{g['value']:+.3f} ± {g['stderr']:.3f}, p {g['p']:.2f}"
    return text if g["verdict"] == "within the noise" else f"**{text}: {g['verdict']}**"


def _counted(sets: list[dict[str, Any]]) -> str:
    """How often the drawn rows were better or worse than each remedy, beyond the noise."""
    found = [g for part in sets for g in part["gains"]]
    told = []
    for other in dict.fromkeys(g["other"] for g in found):
        mine = [g["verdict"] for g in found if g["other"] == other]
        told.append(
            f"beside {other} {mine.count('gain')} gains and {mine.count('loss')} losses of "
            f"{len(mine)}"
        )
    return f"Over {len(sets)} sets and three metrics, beyond the noise: {'; '.join(told)}."


def fidelity(record: dict[str, Any]) -> str:
    """How often a judge sees the label that was asked for."""
    return (
        f"Of {record['samples']} digits drawn by label ({record['run']['recipe']} of "
        f"{record['run']['source']}), an independent judge, {record['judge_accuracy_on_test']:.1%} "
        f"right on test images, sees {record['agreement']:.1%} ± {record['agreement_stderr']:.1%} "
        "as the digit that was asked for.\n"
    )


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a text that has not changed is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source, tell in (
        ("few_labels", "few_labels", few_labels),
        ("balance", "balance", balance),
        ("few_positives", "balance", few_positives),
        ("label_fidelity", "label_fidelity", fidelity),
    ):
        text = tell(json.loads((results / f"{source}.json").read_text(encoding="utf-8")))
        file = folder / f"{name}.inc"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
