"""Anomalies in the ADBench tables: Diabolo beside Isolation Forest, ECOD and PyOD's networks.

python benchmarks/anomalies.py --data-dir DATA --out docs/results/anomalies.json

Protocol. Unsupervised and of one table: a method is fitted to all rows of a set, anomalies
included, without labels, and scores the same rows, which is the question that a user of a table
has. Labels are read for the ROC-AUC and the average precision only. Sets of more than 10,000 rows
are cut to so many at random, others ones for each seed, with the part of anomalies kept. The other
methods run with the defaults of PyOD; each seed is theirs too.

Diabolo is measured as its users get it: `AnomalyDetector` with its defaults. These were chosen on
the six sets of `CHOOSING` and on others of ADBench that are not among the five of `REPORTED`: see
docs/anomalies.md. `--new` measures Diabolo anew and keeps the rows of the others, if these are of
the same versions. Each result is kept as soon as it is there: a run that was broken off goes on
where it was.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside.machine import describe
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from diabolo.estimators import AnomalyDetector

CHOOSING = (
    "2_annthyroid",
    "38_thyroid",
    "6_cardio",
    "7_Cardiotocography",
    "30_satellite",
    "31_satimage-2",
)
REPORTED = ("10_cover", "18_Ionosphere", "23_mammography", "27_PageBlocks", "45_wine")
MOST = 10_000  # rows of one set
PACKAGES = ("diabolo", "torch", "pyod", "scikit-learn", "numpy")

Scores = NDArray[np.float64]

OTHERS = ("log_likelihood", "margins", "distortion", "rate", "latent_distance")


def table(folder: Path, name: str, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns rows (n, columns) and which are anomalies, (n,), of a set: 10,000 rows at most."""
    file = np.load(folder / "adbench" / f"{name}.npz")
    x, y = file["X"].astype(np.float32), file["y"].astype(np.int64).ravel()
    if len(x) > MOST:
        rng = np.random.default_rng(seed)
        part = [rng.permutation(np.flatnonzero(y == c)) for c in (0, 1)]
        few = round(MOST * float(y.mean()))
        keep = np.sort(np.concatenate([part[0][: MOST - few], part[1][:few]]))
        x, y = x[keep], y[keep]
    return x, y


def of_diabolo(x: NDArray[np.float32], seed: int) -> dict[str, Scores]:
    """Returns the scores of Diabolo's detector, and other scores of the same model."""
    detector = AnomalyDetector(random_state=seed).fit(x)
    found = {"Diabolo": -detector.score_samples(x)}
    for score in OTHERS:
        other = copy.deepcopy(detector).set_params(anomaly=score)
        found[f"Diabolo, {score}"] = -other.score_samples(x)
    return found


def of_pyod(name: str) -> Callable[[NDArray[np.float32], int], dict[str, Scores]]:
    """Returns what scores by a detector of PyOD with its defaults."""

    def scores(x: NDArray[np.float32], seed: int) -> dict[str, Scores]:
        from pyod.models.auto_encoder import AutoEncoder
        from pyod.models.ecod import ECOD
        from pyod.models.iforest import IForest
        from pyod.models.vae import VAE

        made = {
            "Isolation Forest": lambda: IForest(random_state=seed),
            "ECOD": lambda: ECOD(),
            "PyOD VAE": lambda: VAE(random_state=seed, verbose=0),
            "PyOD AutoEncoder": lambda: AutoEncoder(random_state=seed, verbose=0),
        }
        detector = made[name]()
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector.fit(x)
        return {name: np.asarray(detector.decision_scores_, np.float64)}

    return scores


PEERS = ("Isolation Forest", "ECOD", "PyOD VAE", "PyOD AutoEncoder")
METHODS = {"Diabolo": of_diabolo, **{name: of_pyod(name) for name in PEERS}}


def measure(folder: Path, name: str, seed: int, method: str) -> list[dict[str, Any]]:
    """Returns a row for each score of a method on a set."""
    x, y = table(folder, name, seed)
    began = time.perf_counter()
    found = METHODS[method](x, seed)
    seconds = time.perf_counter() - began
    return [
        {
            "set": name,
            "seed": seed,
            "method": key,
            "rows": len(x),
            "auc": round(float(roc_auc_score(y, s)), 5),
            "ap": round(float(average_precision_score(y, s)), 5),
            "seconds": round(seconds, 2),
        }
        for key, s in found.items()
    ]


def mean(rows: list[dict[str, Any]], method: str, sets: tuple[str, ...], what: str) -> float:
    """Returns the mean over sets of the means over seeds; NaN if one is lacking."""
    each = [[r[what] for r in rows if r["method"] == method and r["set"] == name] for name in sets]
    return float(np.mean([np.mean(e) if e else math.nan for e in each]))


def main() -> None:
    """Measures what is not there yet, writes the record after each fit, prints the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", default=[*CHOOSING, *REPORTED])
    parser.add_argument("--minutes", type=float, help="stop after so many; the next call goes on")
    parser.add_argument("--new", action="store_true", help="measure Diabolo anew")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"detector": AnomalyDetector().get_params(), "score": "excess", "most": MOST}
    versions = {name: metadata.version(name) for name in PACKAGES}
    rows: list[dict[str, Any]] = []
    if asked.out.exists():
        kept = json.loads(asked.out.read_text())
        if kept["settings"] != json.loads(json.dumps(settings)) and not asked.new:
            parser.error(f"{asked.out} holds results of other settings: say --new to replace them.")
        rows = kept["rows"]
        if asked.new:
            same = all(kept["versions"][name] == versions[name] for name in PACKAGES[1:])
            rows = [r for r in rows if r["method"] in PEERS and same]
    began = time.perf_counter()
    for seed in range(asked.seeds):
        for name in asked.sets:
            for method in METHODS:
                if any((r["set"], r["seed"], r["method"]) == (name, seed, method) for r in rows):
                    continue
                if asked.minutes and time.perf_counter() - began > 60 * asked.minutes:
                    raise SystemExit(3)
                rows += measure(asked.data_dir, name, seed, method)
                record = {
                    **describe(),
                    "versions": versions,
                    "settings": settings,
                    "choosing": CHOOSING,
                    "reported": REPORTED,
                    "rows": rows,
                }
                part = asked.out.with_suffix(".part")
                part.write_text(json.dumps(record, indent=1) + "\n")
                part.replace(asked.out)
                last = rows[-1] if method != "Diabolo" else rows[-1 - len(OTHERS)]
                print(f"{name} {seed} {method}: {last['auc']:.3f} {last['ap']:.3f}", flush=True)
    for title, sets in (("chosen on", CHOOSING), ("reported", REPORTED)):
        for method in dict.fromkeys(r["method"] for r in rows):
            auc, ap = (mean(rows, method, sets, what) for what in ("auc", "ap"))
            print(f"{title}: {method}: ROC-AUC {auc:.3f}, average precision {ap:.3f}")


if __name__ == "__main__":
    main()
