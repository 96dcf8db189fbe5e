"""What each autoencoder's code is like: sparse, steady, of use under noise. On real digits.

python benchmarks/behaviours.py --out docs/results/behaviours.json

Each is trained a few times, so that a difference can be told from the luck of a start. Sparseness
is Hoyer's, of the codes that have an element on; the Jacobian is the encoder's, and is given beside
the spread of the code too, as a small code has small gradients; the probe is a logistic regression
that was fitted to codes of clean images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from recipes import machine

import diabolo
from diabolo.evaluate import distortion, hoyer, jacobian_norm, probe_accuracy

NET = "mlp(hidden=(256, 256))"
TRAIN = {"batch_size": 100, "schedule": "cosine", "learning_rate": 1e-3, "minutes": None, "ema": 0}
WIDE = 128  # elements of a code for 64 pixels
MEMBERS: list[tuple[str, dict[str, Any]]] = [
    ("ae", {"latent": 32}),
    ("denoising_ae", {"latent": 32, "noise": "gaussian", "level": 0.4}),
    ("contractive_ae", {"latent": 32, "price": 1.0}),
    ("rae", {"latent": 32, "penalty": "weights"}),
    ("rae", {"latent": 32, "penalty": "gradient"}),
    ("vae", {"latent": 32}),
    ("ae", {"latent": WIDE}),
    ("sparse_ae", {"latent": WIDE, "sparsity": "l1"}),
    ("sparse_ae", {"latent": WIDE, "sparsity": "kl"}),
    ("sparse_ae", {"latent": WIDE, "sparsity": "top_k"}),
]
NOISE = (0.0, 0.2, 0.4)


def measure(recipe: str, options: dict[str, Any], epochs: int, seed: int) -> dict[str, float]:
    """Trains one model and returns what its code is like on the test images."""
    run = diabolo.fit("digits", recipe, epochs=epochs, seed=seed, net=NET, **TRAIN, **options)
    train, test = run.data("train"), run.data("test")
    assert train is not None
    assert test is not None
    model = run.model
    with torch.no_grad():
        z = model.encode(test.batch(torch.arange(len(test))).x)[0]
    jacobian = float(jacobian_norm(model, test).mean())
    spread = float(z.double().var(0).sum().sqrt())
    probes = {
        f"accuracy_{noise:g}": probe_accuracy(model, train, test, noise=noise) for noise in NOISE
    }
    return {
        "distortion": distortion(model, test).value,
        "hoyer": float(hoyer(z).nanmean()),
        "zeros": float((z == 0).double().mean()),
        "jacobian": jacobian,
        "spread": spread,
        "jacobian_over_spread": jacobian / spread,
        **probes,
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for recipe, options in MEMBERS:
        found = [measure(recipe, options, args.epochs, seed) for seed in range(args.seeds)]
        row: dict[str, Any] = {"recipe": recipe, "options": options}
        for name in found[0]:
            values = [f[name] for f in found]
            row[name] = mean(values)
            row[f"{name}_std"] = stdev(values) if len(values) > 1 else None
        print(json.dumps(row), flush=True)
        rows.append(row)
    settings = ", ".join(f"{k}={v}" for k, v in TRAIN.items() if v)
    record = {
        "data": "digits",
        "about": f"8x8 images with 17 grey levels. Network: `{NET}`; {args.epochs} epochs each, "
        f"{settings}; means over {args.seeds} seeds and their standard deviations. Noise is in "
        "units of the grey value, which goes from 0 to 1.",
        "machine": machine(),
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
