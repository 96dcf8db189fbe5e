"""Training by the command line, with all that it sets and writes: `diabolo fit` of an array."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import diabolo

from . import nets
from .work import bits

__all__ = ["train"]

FEW = 100  # validation data


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Trains; the run's own history tells when each epoch ended."""
    settings = {
        "net": nets.NAMES[task["net"]],
        "latent": nets.LATENT,
        "valid": FEW,
        **{name: task[name] for name in ("epochs", "precision", "compile")},
        "batch_size": task["batch"],
        "train.seed": task["seed"],
    }
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "bits.npy", Path(folder) / "run"
        np.save(data, bits(task["data"], "train", task["n"] + FEW).numpy()[:, 0])
        words = [word for k, v in settings.items() for word in ("--set", f"{k}={v}")]
        command = [sys.executable, "-m", "diabolo", "fit", str(data), "--out", str(out), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(" ".join(done.stderr.split()))
        rows = diabolo.load(out).history.rows
    ends = [row.seconds for row in rows]
    epochs = [b - a for a, b in zip([0.0, *ends[:-1]], ends, strict=True)]
    seconds = float(np.median(epochs[1:]))
    return {"first": ends[0], "epochs": epochs, "seconds": seconds, "count": task["n"]}
