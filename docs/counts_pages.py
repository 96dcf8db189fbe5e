"""What `counts.md` includes: the tables of the committed benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = {
    "Poisson": "Poisson",
    "NegativeBinomial": "negative binomial",
    "ZeroInflatedNegativeBinomial": "zero-inflated negative binomial",
}


def _cell(found: dict[str, Any], digits: int) -> str:
    return f"{found['mean']:.{digits}f} ± {found['sd']:.{digits}f}"


def tables(record: dict[str, Any]) -> str:
    """The likelihoods with the clusters, and what a batch does."""
    settings, data = record["settings"], record["data"]
    lines = [
        f"{data['cells']} cells, {data['genes']} genes, {data['clusters']} known clusters; network "
        f"`{settings['net']}`, {settings['latent']} latents, {settings['epochs']} epochs; "
        f"mean ± standard deviation over {settings['seeds']} seeds, which also draw the cells held "
        "out.",
        "",
        f"| likelihood, given the total | log p(x), k = {settings['k']}, nats a cell | ELBO | "
        "clusters (ARI) |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {NAMES[m['likelihood']]} | {_cell(m['log_likelihood'], 1)} | {_cell(m['elbo'], 1)} | "
        f"{_cell(m['ari'], 3)} |"
        for m in record["models"]
    ]
    lines += [
        f"| {n} principal components | | | {_cell(found, 3)} |"
        for n, found in record["pca"].items()
    ]
    lines += ["", "| codes, two batches | clusters (ARI) | batch told |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {_cell(found['ari'], 3)} | {_cell(found['told'], 3)} |"
        for name, found in record["batches"].items()
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, results: Path) -> None:
    """Writes what the page includes; a table that has not changed is left alone."""
    file = folder / "counts.inc"
    text = tables(json.loads((results / "counts.json").read_text(encoding="utf-8")))
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
