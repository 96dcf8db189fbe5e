"""Counts of genes in single cells: held-out likelihoods, clusters of codes, batches as conditions.

    python benchmarks/counts.py --data-dir DATA [--seeds 3] [--out docs/results/counts.json]

The data are UMI counts of 4271 blood cells, 2000 genes, with 8 known clusters that no model sees.
A tenth of the cells are held out. Likelihoods are log p(x | total) in nats per cell, k = 200, the
same cells for each. Codes, posterior means of all cells, are grouped by k-means into 8 and compared
with the known clusters by the adjusted Rand index (1 is the same, 0 is chance), as are principal
components of log(1 + x / total * median total), the usual way, at three numbers of components.

For batches, half of the cells, at random, lose half of the counts of 600 genes, at random: a
difference of the laboratory, not of the cells. A neighbour classifier then tries to tell the batch
of a cell from its code: 0.5 is chance.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import diabolo

FILE = Path("single_cell") / "10X_PBMC_top2000.npz"
LIKELIHOODS = ("Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial")
NET = "mlp(hidden=(128,))"
LATENT = 10
COMPONENTS = (10, 20, 50)
THINNED = 600
K = 200


def clustered(codes: np.ndarray, known: np.ndarray, seed: int) -> float:
    """Returns the adjusted Rand index of k-means on codes."""
    groups = KMeans(len(np.unique(known)), n_init=10, random_state=seed).fit_predict(codes)
    return float(adjusted_rand_score(known, groups))


def components(x: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Returns principal components of normalised counts, (cells, n)."""
    total = x.sum(1, keepdims=True)
    return PCA(n, random_state=seed).fit_transform(np.log1p(x / total * np.median(total)))


def mixed(codes: np.ndarray, batch: np.ndarray) -> float:
    """Returns how often the batch of a cell is told from its neighbours' (0.5: never)."""
    return float(cross_val_score(KNeighborsClassifier(15), codes, batch, cv=5).mean())


def fitted(x: np.ndarray, seed: int, epochs: int, **options: Any) -> diabolo.Run:
    """Returns a run on counts."""
    own = {"net": NET, "latent": LATENT, "epochs": epochs, "support": "count"}
    return diabolo.fit(x, **{**own, **options}, **{"train.seed": seed, "data.seed": seed})


def spread(values: list[float]) -> dict[str, Any]:
    """Returns mean and spread over the seeds."""
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "each": values,
    }


def measured(
    x: np.ndarray,
    known: np.ndarray,
    seeds: int,
    epochs: int,
    likelihoods: tuple[str, ...] = LIKELIHOODS,
) -> dict[str, Any]:
    """Returns all that the benchmark tells.

    Arguments:
        x: Counts (cells, genes).
        known: The cluster of each cell.
        seeds: How many times each model is fitted, with other cells held out.
        epochs: How long.
        likelihoods: The densities to compare.
    """
    rows: list[dict[str, Any]] = []
    for name in likelihoods:
        found: dict[str, list[float]] = {"log_likelihood": [], "elbo": [], "ari": [], "seconds": []}
        stderr = []
        for seed in range(seeds):
            began = time.perf_counter()
            run = fitted(x, seed, epochs, likelihood=f"{name}(exposure=total)")
            found["seconds"].append(time.perf_counter() - began)
            told = run.evaluate(k=K)
            found["log_likelihood"].append(told.likelihood.value)
            found["elbo"].append(told.bound.elbo.value)
            stderr.append(told.likelihood.data_stderr)
            found["ari"].append(clustered(run.encode(x), known, seed))
            print(name, seed, {k: round(v[-1], 3) for k, v in found.items()}, flush=True)
        rows.append(
            {
                "likelihood": name,
                **{k: spread(v) for k, v in found.items()},
                "data_stderr": float(np.mean(stderr)),
            }
        )
    pca = {
        str(n): spread([clustered(components(x, n, s), known, s) for s in range(seeds)])
        for n in COMPONENTS
    }
    print("pca", {n: round(v["mean"], 3) for n, v in pca.items()}, flush=True)
    return {"models": rows, "pca": pca, "batches": batches(x, known, seeds, epochs)}


def batches(x: np.ndarray, known: np.ndarray, seeds: int, epochs: int) -> dict[str, Any]:
    """Returns what a batch does to codes, with and without it as the condition."""
    out: dict[str, dict[str, list[float]]] = {
        name: {"ari": [], "told": []} for name in ("vae", "cvae given the batch", "pca")
    }
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        batch = draw.integers(0, 2, len(x))
        genes = draw.choice(x.shape[1], min(THINNED, x.shape[1] // 3), replace=False)
        y = x.copy()
        rows = np.ix_(batch == 1, genes)
        y[rows] = draw.binomial(y[rows].astype(np.int64), 0.5)
        kept = y.sum(1) > 0
        y, of, group = y[kept], batch[kept], known[kept]
        options = {"likelihood": "NegativeBinomial(exposure=total)"}
        plain = fitted(y, seed, epochs, **options).encode(y)
        run = fitted(y, seed, epochs, recipe="cvae", labels=of, condition="labels", **options)
        codes = {
            "vae": plain,
            "cvae given the batch": run.encode(y, labels=of),
            "pca": components(y, COMPONENTS[0], seed),
        }
        for name, z in codes.items():
            out[name]["ari"].append(clustered(z, group, seed))
            out[name]["told"].append(mixed(z, of))
            print(
                "batch", name, seed, {k: round(v[-1], 3) for k, v in out[name].items()}, flush=True
            )
    return {name: {k: spread(v) for k, v in found.items()} for name, found in out.items()}


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    file = np.load(given.data_dir / FILE)
    x, known = file["X"], file["Y"]
    record = {
        "data": {"cells": len(x), "genes": x.shape[1], "clusters": len(np.unique(known))},
        "settings": {
            "net": NET,
            "latent": LATENT,
            "epochs": given.epochs,
            "seeds": given.seeds,
            "k": K,
        },
        **measured(x, known, given.seeds, given.epochs),
    }
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
