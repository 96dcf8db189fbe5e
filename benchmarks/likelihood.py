"""How fast the importance-weighted likelihood is: images a second, beside the machine's own rate.

    python benchmarks/likelihood.py [images] [--net NET] [--latent D] [--k K]

The classic network of the importance-weighted bound (784-200-200-50) with random weights. The share
of the peak is the part of the time that the decoder's matrix products alone would take at the
rate of a large product on this machine. The first call, which compiles where that pays, is told
apart from the next, and so is the time that `--project N` images would take.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from diabolo.data import Data
from diabolo.evaluate import Precision, log_likelihood
from diabolo.recipes import build


def product_rate(dtype: torch.dtype, size: int = 1024) -> float:
    """Returns the floating-point operations a second of a large matrix product."""
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        begin = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def main() -> None:
    """Prints one line a precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, nargs="?", default=40)
    parser.add_argument("--net", default="mlp(hidden=(200, 200))")
    parser.add_argument("--latent", type=int, default=50)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--project", type=int, default=10_000, help="so many images by the rate")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto")
    given = parser.parse_args()
    torch.manual_seed(0)
    data = Data((torch.rand(given.images, 1, 28, 28) < 0.13).float(), support="binary")
    model = build("vae", data.spec(), latent=given.latent, net=given.net).model
    decoder = [m for m in model.likelihood.modules() if isinstance(m, nn.Linear)]
    work = 2 * sum(m.weight.numel() for m in decoder) * given.k  # a datum
    print(f"{given.net}, {given.latent} latents, k={given.k}, {torch.get_num_threads()} threads")
    precisions: tuple[tuple[Precision, torch.dtype], ...] = (
        ("float32", torch.float32),
        ("bf16", torch.bfloat16),
    )
    for precision, dtype in precisions:
        rate = product_rate(dtype)
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            found = log_likelihood(
                model, data, k=given.k, precision=precision, compile=given.compile
            )
            times.append(time.perf_counter() - begin)
        first, seconds = times
        speed = given.images / seconds
        print(
            f"{precision:8} {speed:8.1f} images/s {speed * given.k / 1e3:8.1f} thousand samples/s  "
            f"products {rate / 1e9:6.0f} GFLOP/s, {speed * work / rate:5.1%} of it  "
            f"first call {first - seconds:.1f} s more, "
            f"{given.project} images in {given.project / speed + first - seconds:.0f} s  "
            f"log p = {found}"
        )


if __name__ == "__main__":
    main()
