"""A hundred labels: what an encoder that has seen no label is worth to a classifier.

python benchmarks/few_labels.py --data-dir DATA --out docs/results/few_labels.json

A VAE with a mixture as prior sees the 60,000 training images of MNIST and no label. Ten draws of
ten labels of each digit are the same for all that is compared: a logistic regression on the
encoder's features, on pixels and on principal components (of all training images), each with what
it can be set to chosen by cross-validation within the hundred labels; the encoder's network
trained on from the probe, and the same network from a random start; and m2, which learns from
images with and without labels at once. All are judged by the 10,000 test images. The VAE's recipe
was chosen on 5,000 training images that were held out, with other draws of labels; the test
images chose nothing.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from recipes import machine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import diabolo

TRAIN = {
    "batch_size": 128,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "optimizer": "adam",
    "weight_decay": 0.0,
    "warmup": 0.0,
    "ema": 0.0,
    "minutes": None,
    "precision": "float32",
    "binarize": "dynamic",
}
VAE = {
    "latent": 16,
    "net": "mlp(hidden=(512, 512))",
    "prior": "mixture(components=100)",
    "epochs": 25,
}
M2 = {"latent": 32, "net": "mlp(hidden=(256,))", "epochs": 6}
EACH = 10  # labels of each class
DIMENSIONS = (10, 20, 50, 100)
STRENGTHS = 10.0 ** np.arange(-4, 2)


def rows(labels: np.ndarray, draw: int) -> np.ndarray:
    """Returns the positions of a draw: ten of each class."""
    rng = np.random.default_rng(draw)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:EACH] for c in range(10)])


def probe(x: np.ndarray, y: np.ndarray, draw: int, dimensions: tuple[int, ...] = ()) -> Any:
    """Returns a logistic regression, fitted; C, scaling and dimension are cross-validated."""
    steps = [("first", FirstColumns(x.shape[1])), ("scale", StandardScaler())]
    grid: dict[str, Any] = {"regression__C": STRENGTHS, "scale": [StandardScaler(), "passthrough"]}
    if dimensions:
        grid["first__count"] = dimensions
    model = Pipeline([*steps, ("regression", LogisticRegression(max_iter=300))])
    split = StratifiedKFold(5, shuffle=True, random_state=draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few that have not converged
        return GridSearchCV(model, grid, cv=split, scoring="neg_log_loss").fit(x, y)


class FirstColumns:
    """Keeps the first columns, as a step of a pipeline."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the number of columns by name."""
        return {"count": self.count}

    def set_params(self, count: int) -> FirstColumns:
        """Sets the number of columns."""
        self.count = count
        return self

    def fit(self, x: np.ndarray, y: Any = None) -> FirstColumns:
        """Learns nothing."""
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Returns the first columns."""
        return x[:, : self.count]


def main() -> None:
    """Trains, compares, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--m2-draws", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="fewer, to try this out")
    parser.add_argument("--vae", type=Path, help="its folder: made if it is not there")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    few = {} if args.epochs is None else {"epochs": args.epochs}
    options = {**TRAIN, **VAE, **few, "data_dir": args.data_dir}
    valid = 5000 if args.epochs is None else 0.1
    if args.vae is not None and args.vae.exists():
        run = diabolo.load(args.vae)
    else:
        run = diabolo.fit(args.data, "vae", valid=valid, out=args.vae, **options)
    seconds = {"vae": run.history.rows[-1].seconds}
    print("VAE", seconds, flush=True)
    train, held, test = (run.data(name) for name in ("train", "valid", "test"))
    assert train is not None
    assert held is not None
    assert test is not None
    began = time.monotonic()
    y, y_test = train.labels.numpy(), test.labels.numpy()
    pixels, pixels_test = (
        d.decoder.mean(torch.as_tensor(d.x)).flatten(1).numpy() for d in (train, test)
    )
    pca = PCA(min(DIMENSIONS[-1], pixels.shape[1] - 1), random_state=0).fit(pixels)
    known = tuple(d for d in DIMENSIONS if d < pixels.shape[1])
    right: dict[str, list[float]] = {}
    chosen: dict[str, list[str]] = {}

    def tell(name: str, predicted: np.ndarray) -> None:
        right.setdefault(name, []).append(100 * float((predicted == y_test).mean()))

    for draw in range(args.draws):
        at = rows(y, draw)
        found = probe(pixels[at], y[at], draw)
        tell("probe on pixels", found.predict(pixels_test))
        found = probe(pca.transform(pixels[at]), y[at], draw, known)
        tell("probe on principal components", found.predict(pca.transform(pixels_test)))
        chosen.setdefault("dimension", []).append(str(found.best_params_["first__count"]))
        few_data = train.take(torch.from_numpy(at))
        for name, how in {
            "probe on the encoder": {"how": "probe"},
            "probe on codes": {"how": "probe", "features": "code"},
            "probe on hidden features": {"how": "probe", "features": "hidden"},
            "the encoder's network, trained on from the probe": {"how": "finetune"},
            "the same network from a random start": {"how": "scratch"},
        }.items():
            made = diabolo.classifier(run, few_data, y[at], seed=draw, **how)
            tell(name, made.predict(test))
            if name == "probe on the encoder":
                chosen.setdefault("features", []).append(made.features)
        print(draw, {k: round(v[-1], 2) for k, v in right.items()}, flush=True)
    seconds["probes"] = time.monotonic() - began
    write(args, right, chosen, seconds, len(y_test))
    began = time.monotonic()
    for draw in range(args.m2_draws):
        labels = np.full(sum(len(d) for d in (train, held)), np.nan)
        at = rows(y, draw)
        labels[train.rows[at].numpy()] = y[at]
        options = {**TRAIN, **M2, **few, "data_dir": args.data_dir, "valid": valid}
        semi = diabolo.fit(
            args.data, "m2", labels=labels, condition="labels", labelled="some", **options
        )
        tell("m2, images with and without labels", semi.classify(test).argmax(1))
        print("m2", draw, right["m2, images with and without labels"][-1], flush=True)
        seconds["m2"] = time.monotonic() - began
        write(args, right, chosen, seconds, len(y_test))


def write(
    args: argparse.Namespace,
    right: dict[str, list[float]],
    chosen: dict[str, list[str]],
    seconds: dict[str, float],
    test: int,
) -> None:
    """Writes what has been measured so far."""
    record = {
        "data": args.data,
        "labels": 10 * EACH,
        "test": test,
        "machine": machine(),
        "seconds": {k: round(v) for k, v in seconds.items()},
        "settings": {"vae": VAE, "m2": M2, "training": TRAIN},
        "chosen": chosen,
        "rows": [
            {"name": name, "mean": mean(v), "spread": stdev(v) if len(v) > 1 else None, "draws": v}
            for name, v in right.items()
        ],
        "paired": [
            paired(right, a, b)
            for a, b in (
                ("probe on the encoder", "probe on pixels"),
                ("probe on the encoder", "probe on principal components"),
                (
                    "the encoder's network, trained on from the probe",
                    "the same network from a random start",
                ),
                ("the encoder's network, trained on from the probe", "probe on the encoder"),
            )
        ],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["paired"], indent=1))


def paired(right: dict[str, list[float]], a: str, b: str) -> dict[str, Any]:
    """Returns the mean of a less b over draws, in points, with its standard error."""
    d = np.subtract(right[a], right[b])
    return {"a": a, "b": b, "points": d.mean(), "stderr": d.std(ddof=1) / len(d) ** 0.5}


if __name__ == "__main__":
    main()
