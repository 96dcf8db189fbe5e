"""Seconds of an epoch of MNIST, eagerly and compiled, on a GPU or a processor.

python benchmarks/devices.py --data-dir DATA --device cuda

59,000 training images cut at one half, batches of 128, a VAE of 32 latents; the bound is that of
1,000 more. The first epoch, which compiles, stands apart; the others' least is told, so that it is
not for telling small differences.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from diabolo.config import DataConfig, TrainConfig
from diabolo.data import load
from diabolo.recipes import build
from diabolo.train import fit

NETS = ("mlp(hidden=(400,400))", "conv")
WAYS = (("off", "float32", 3), ("on", "float32", 6), ("on", "bf16", 6))  # and epochs


def main() -> None:
    """Trains each network in each way and prints a line for it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    how = DataConfig(data_dir=asked.data_dir, binarize="threshold", valid=1000)
    data = load("mnist", how).splits
    spec = data.train.spec()
    for net in NETS:
        for compiled, precision, epochs in WAYS:
            torch.manual_seed(0)
            recipe = build("vae", spec, latent=32, net=net)
            config = TrainConfig(
                epochs=epochs,
                batch_size=128,
                compile=compiled,
                precision=precision,
                device=asked.device,
            )
            ends = [time.perf_counter()]
            history = fit(
                recipe,
                data.train,
                data.valid,
                config,
                on_epoch=lambda _, ends=ends: ends.append(time.perf_counter()),
            )
            first, *others = np.diff(ends)
            told = history.computing
            print(
                f"{net}, {told['device']}, {precision}, compiled: {told['compile']}: "
                f"first epoch {first:.2f} s, others {min(others):.3f} s; "
                f"ELBO {history.rows[-1].valid_elbo:.2f} nats",
                flush=True,
            )


if __name__ == "__main__":
    main()
