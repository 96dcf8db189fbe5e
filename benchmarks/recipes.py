"""Every recipe trained for a short while on real data: rate, distortion, bounds and seconds.

python benchmarks/recipes.py --data digits --out FILE
python benchmarks/recipes.py --data mnist --data-dir DATA --epochs 10 --out FILE
python benchmarks/recipes.py --data wine_quality --data-dir DATA --out FILE

With `--figures FOLDER` each run leaves a picture: its samples or, where it has no prior, its
reconstructions. What the file holds of other data sets and recipes stays. Recipes are those of the
folder: no list to extend.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

import diabolo
from diabolo.recipes import RECIPES
from diabolo.registry import keywords

# One network and one way of training for all, so that the recipes differ in themselves only.
SETS: dict[str, dict[str, Any]] = {
    "digits": {
        "about": "8x8 images with 17 grey levels, as they are: a discretised logistic likelihood.",
        "data": {},
        "net": "mlp(hidden=(256, 256))",
    },
    "mnist": {
        "about": "28x28 images as bits, drawn with the grey value as probability.",
        "data": {"binarize": "dynamic"},
        "net": "mlp(hidden=(512, 512))",
    },
    "wine_quality": {
        "about": "11 measurements of a wine, standardised in the model; nats in their own units.",
        "data": {},
        "net": "mlp(hidden=(128, 128))",
    },
}
TRAIN = {"minutes": None, "batch_size": 100, "schedule": "cosine", "warmup": 0.02, "ema": 0.99}


def machine() -> str:
    """Returns what the numbers were made on, in one sentence."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    return f"{platform.machine()}, {threads}, {versions}, {date.today():%Y-%m-%d}."


def conditional(name: str) -> bool:
    """Returns whether a recipe refuses data without a condition."""
    x = torch.zeros(1000, 1, 8, 8)
    spec = diabolo.Spec(event=(1, 8, 8), support="binary", count=1000, mean=x[0], examples=x)
    try:
        RECIPES.load(name)(spec)
    except diabolo.DiaboloError:
        return True
    return False


def measure(name: str, data: str, args: argparse.Namespace) -> dict[str, Any]:
    """Trains one recipe and returns its row of the table."""
    about = SETS[data]
    # Each recipe's own defaults, said aloud so that no preset of the data set replaces them.
    options = {n: p.default for n, p in keywords(RECIPES.load(name)).items()}
    options |= {"net": about["net"], **about["data"], **TRAIN, "epochs": args.epochs, "seed": 0}
    if args.data_dir:
        options["data_dir"] = args.data_dir
    with_labels = conditional(name)
    if with_labels:
        options["condition"] = "labels"
    began = time.perf_counter()
    run = diabolo.fit(data, name, **options)
    seconds = time.perf_counter() - began
    test = run.data("test") or run.data("valid")
    assert test is not None
    test = test.take(torch.arange(min(len(test), args.test)))
    sampled = not (run.model.deterministic or run.model.exact)
    found = run.evaluate(test, k=args.k if sampled else None)
    row: dict[str, Any] = {
        "recipe": name,
        "conditional": with_labels,
        "n": len(test),
        "seconds": seconds,
        "epochs": len(run.history.rows),
        "latents": sum(run.model.groups),
    }
    if found.units is not None:
        row["active"] = found.units.count
    if found.distortion is not None:
        row["distortion"] = found.distortion.value
        row["distortion_stderr"] = found.distortion.data_stderr
    if found.bound is not None:
        row["rates"] = [r.value for r in found.bound.rate]
        row["rate"] = sum(row["rates"])
        row["elbo"] = found.bound.elbo.value
        row["elbo_stderr"] = found.bound.elbo.data_stderr
    if found.likelihood is not None:
        row["log_likelihood"] = found.likelihood.value
        row["log_likelihood_stderr"] = found.likelihood.data_stderr
        row["k"] = args.k
    if args.figures:
        draw(run, args.figures / f"{name}.png")
    return row


def draw(run: diabolo.Run, file: Path) -> None:
    """Draws what shows a run best: samples or, where there is no prior, reconstructions."""
    from diabolo.panels import PANELS, NotApplicable

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure = PANELS.load("samples")(run)
    except NotApplicable:
        figure = PANELS.load("reconstructions")(run)
    figure.savefig(file, dpi=72)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", choices=SETS, help="a named data set")
    parser.add_argument("--data-dir", help="the folder in which it is looked for")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--k", type=int, default=100, help="samples of the log-likelihood")
    parser.add_argument("--test", type=int, default=1000, help="test data to evaluate")
    parser.add_argument("--recipes", nargs="*", default=RECIPES.names())
    parser.add_argument("--figures", type=Path, help="a folder for a picture of each recipe")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(machine(), flush=True)
    for name in args.recipes:
        row = measure(name, args.data, args)
        print(json.dumps(row), flush=True)
        store(row, args)


def store(row: dict[str, Any], args: argparse.Namespace) -> None:
    """Puts one row into the file."""
    record = json.loads(args.out.read_text()) if args.out.exists() else {"sets": []}
    parts = {part["data"]: part for part in record["sets"]}
    rows = {r["recipe"]: r for r in parts.get(args.data, {"rows": []})["rows"]} | {
        row["recipe"]: row
    }
    settings = ", ".join(f"{k}={v}" for k, v in TRAIN.items() if v)
    parts[args.data] = {
        "data": args.data,
        "about": f"{SETS[args.data]['about']} Network: `{SETS[args.data]['net']}`; "
        f"{args.epochs} epochs each, {settings}.",
        "machine": machine(),
        "rows": [rows[r] for r in sorted(rows)],
    }
    record["sets"] = [parts[d] for d in sorted(parts)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
