"""Synthetic tables: a VAE of Diabolo beside a Gaussian copula and independent columns.

    python benchmarks/synthesize.py --data-dir DATA [--seeds 3] [--out docs/results/synthesize.json]

8000 rows of Adult, the white wines, and the breast cancer set of scikit-learn. Of each
a fifth is held out, another for each seed; everything else is learned. All rows of the report are
made by `diabolo.synthesis_report`, which says what the numbers are; the table has means and the
spread over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import diabolo
from diabolo.tasks import SynthesisReport, synthesis_report

ADULT = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation",
    "relationship", "race", "sex", "gain", "loss", "hours", "country", "income",
]  # fmt: skip
ROWS = 8_000


def adult(folder: Path) -> pd.DataFrame:
    """The census incomes, `?` as missing."""
    return pd.read_csv(
        folder / "adult" / "adult.test", header=None, names=ADULT, skiprows=1, na_values="?",
        skipinitialspace=True,
    ).head(ROWS)  # fmt: skip


def wine(folder: Path) -> pd.DataFrame:
    """The white wines."""
    return pd.read_csv(folder / "wine_quality" / "winequality-white.csv", sep=";")


def cancer(folder: Path) -> pd.DataFrame:
    """The tumours of scikit-learn's breast cancer set, with their class."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    return found.data.assign(tumour=found.target_names[found.target])


SETS: dict[str, tuple[Callable[[Path], pd.DataFrame], str]] = {
    "adult": (adult, "income"),
    "wine": (wine, "quality"),
    "cancer": (cancer, "tumour"),
}


def reported(frame: pd.DataFrame, target: str, seed: int, **options: Any) -> SynthesisReport:
    """Returns the report of a VAE on four fifths of a table."""
    held = np.random.default_rng(seed).random(len(frame)) < 0.2
    run = diabolo.fit(frame[~held], "vae", **{"train.seed": seed, "data.seed": seed}, **options)
    return synthesis_report(run, frame[held], target=target, seed=seed)


def numbers(report: SynthesisReport) -> dict[str, dict[str, float | None]]:
    """Returns what goes into the table, by sampler."""
    return {
        j.name: {
            "columns": j.marginal,
            "pairs": j.dependence,
            "two-sample": j.two_sample.accuracy.value,
            "utility": j.utility,
            "distance": None if j.nearest is None else j.nearest.ratio.value,
            "copies": None
            if j.nearest is None
            else j.nearest.copies / max(j.nearest.expected, 1e-9),
            "membership": None if j.membership is None else j.membership.auc,
        }
        for j in report.judged
    }


def spread(each: list[dict[str, dict[str, float | None]]]) -> dict[str, Any]:
    """Returns mean and standard deviation over seeds, by sampler and number."""
    out: dict[str, Any] = {}
    for name in each[0]:
        out[name] = {}
        for key in each[0][name]:
            values = [found[name][key] for found in each]
            known = [v for v in values if v is not None]
            sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
            out[name][key] = {"mean": float(np.mean(known)), "sd": sd} if known else None
    return out


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    record: dict[str, Any] = {"seeds": given.seeds, "epochs": given.epochs, "sets": {}}
    for name in given.sets:
        read, target = SETS[name]
        frame = read(given.data_dir)
        began, each = time.perf_counter(), []
        for seed in range(given.seeds):
            each.append(numbers(reported(frame, target, seed, epochs=given.epochs)))
            print(name, seed, json.dumps(each[-1]), flush=True)
        record["sets"][name] = {
            "rows": len(frame),
            "columns": frame.shape[1],
            "target": target,
            "seconds": round((time.perf_counter() - began) / given.seeds, 1),
            "samplers": spread(each),
        }
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
