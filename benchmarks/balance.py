"""Whether drawn rows of rare classes help a classifier: the referee, on four sets.

python benchmarks/balance.py --data-dir DATA --out docs/results/balance.json

Each set goes through `diabolo.referee`: nested cross-validation of a forest of 100 trees, with
nothing done, class weights, random oversampling, SMOTE, and rows drawn by a `cvae` with the
defaults of `diabolo.balance`. Those were chosen on two other sets (6_cardio, 2_annthyroid).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from recipes import machine
from sklearn.datasets import load_digits

import diabolo

FOLDS = {"folds": 5, "repeats": 2, "inner": 2}


def wine(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Red wines: poor (marks 3 and 4), middling (5 and 6), good (7 and 8)."""
    table = np.loadtxt(place / "wine_quality" / "winequality-red.csv", delimiter=";", skiprows=1)
    mark = table[:, -1]
    return table[:, :-1], np.select([mark <= 4, mark >= 7], ["poor", "good"], "middling")


def adbench(name: str, step: int = 1) -> Any:
    """Returns what reads every so many rows of a set of ADBench; its anomalies are rare."""

    def found(place: Path) -> tuple[np.ndarray, np.ndarray]:
        with np.load(place / "adbench" / f"{name}.npz") as file:
            x, y = file["X"].astype(np.float64), file["y"]
        x, y = x[::step], y[::step]
        return x, np.where(y == 1, "anomaly", "normal")

    return found


def digits(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits with every twelfth 8 only, and every third of the others."""
    x, y = load_digits(return_X_y=True)
    kept = np.concatenate([np.flatnonzero(y == c)[:: 12 if c == 8 else 3] for c in range(10)])
    return x[kept].reshape(-1, 8, 8).astype(np.uint8), y[kept]


SETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "red wine by quality": (wine, {}),
    "thyroid (38)": (adbench("38_thyroid"), {}),
    "page blocks (27), every second row": (adbench("27_PageBlocks", 2), {}),
    "digits with a rare 8": (
        digits,
        {"support": "byte:17", "latent": 8, "net": "mlp(hidden=(128, 128))", "compile": "off"},
    ),
}


def main() -> None:
    """Judges, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    sets = []
    for name in args.only:
        read, options = SETS[name]
        x, y = read(args.data_dir)
        began = time.monotonic()
        found = diabolo.referee(x, y, seed=args.seed, **FOLDS, **options)
        seconds = round(time.monotonic() - began)
        about = {"name": name, "rows": len(x), "numbers": int(np.prod(x.shape[1:]))}
        sets.append({**about, "seconds": seconds, "options": options, **found.to_json()})
        print(name, f"{seconds} s", *found.verdicts, sep="\n  ", flush=True)
        record = {"machine": machine(), "seed": args.seed, "sets": sets}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
