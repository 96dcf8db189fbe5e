"""What this machine allows: its rate of matrix products, and fused Adam's bandwidth.

Two floors of a training step. Ideal: its floating-point operations at the best rate of any square
product, and Adam. Practical (perceptron only): its products at their real shapes by `torch.mm`,
and Adam. Nothing else that a step must do (the likelihood, the noise, the data) is charged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import nets

__all__ = ["DENSE", "floor", "products"]

DENSE = ((784, 400), (400, 40), (20, 400), (400, 784))  # inputs and outputs of each dense layer
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
SQUARES = (768, 1024, 2048)


def products(batch: int) -> list[tuple[str, tuple[int, int, int]]]:
    """Returns the products of one step as (which, (m, k, n)); the data need no gradient."""
    found = []
    for i, (inputs, outputs) in enumerate(DENSE):
        found.append(("forward", (batch, inputs, outputs)))
        found.append(("weights", (outputs, batch, inputs)))
        if i:
            found.append(("inputs", (batch, outputs, inputs)))
    return found


def _time(function: Callable[[], Any], seconds: float = 0.08) -> float:
    """Returns the least time of a function: a floor is what the machine can do."""
    function()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        at = time.perf_counter()
        function()
        times.append(time.perf_counter() - at)
    return min(times)


def _product(which: str, shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Returns the seconds of one product, with its operands laid out as in training."""
    m, k, n = shape
    if which == "forward":  # x (m, k) by a weight stored (n, k)
        a, b = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype).t()
    elif which == "weights":  # the output's gradient, stored (k, m), by x (k, n)
        a, b = torch.randn(k, m).to(dtype).t(), torch.randn(k, n).to(dtype)
    else:
        a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    out = torch.empty(m, n, dtype=dtype)
    return _time(lambda: torch.mm(a, b, out=out))


def _adam(net: str) -> float:
    """Returns the seconds of one step of fused Adam on a net's weights."""
    weights: list[Tensor] = []
    for module in (nets.encoder(net), nets.decoder(net)):
        weights += list(module.parameters())
    for p in weights:
        p.grad = torch.randn_like(p)
    optimizer = torch.optim.Adam(weights, fused=True)
    return _time(optimizer.step, 0.3)


def _flop(net: str) -> float:
    """Returns the floating-point operations of one datum's step, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    enc, dec = nets.encoder(net), nets.decoder(net)
    with FlopCounterMode(display=False) as counter:
        x = torch.rand(2, *nets.IMAGE)
        mean, _ = nets.mean_log_var(enc(x))
        dec(mean).sum().backward()
    return counter.get_total_flops() / 2


def floor(task: dict[str, Any]) -> dict[str, Any]:
    """Returns rates and, for each training, the least seconds a datum."""
    peak = {
        name: max(2 * s**3 / _product("inputs", (s, s, s), dtype) for s in SQUARES)
        for name, dtype in TYPES.items()
    }
    adam = {net: _adam(net) for net in nets.NAMES}
    flop = {net: _flop(net) for net in nets.NAMES}
    ideal, practical = {}, {}
    for name, dtype in TYPES.items():
        for net, batch in (("mlp", 128), ("mlp", 512), ("conv", 128)):
            key = f"{net}-b{batch}-{name}"
            ideal[key] = flop[net] / peak[name] + adam[net] / batch
            if net == "mlp":
                seconds = sum(_product(which, shape, dtype) for which, shape in products(batch))
                practical[key] = (seconds + adam[net]) / batch
        rows = 500
        layers = [(rows, inputs, outputs) for inputs, outputs in DENSE[2:]]
        seconds = sum(_product("forward", shape, dtype) for shape in layers)
        practical[f"decode-{name}"] = 1000 * seconds / rows  # k = 1000 samples of one image
        shares = sum(2.0 * inputs * outputs for inputs, outputs in DENSE[2:])
        ideal[f"decode-{name}"] = 1000 * shares / peak[name]
    source = torch.randn(1 << 25)  # 128 MiB, far beyond the caches
    into = torch.empty_like(source)
    return {
        "seconds": 1.0,
        "count": 1,
        "peak_gflops": {name: rate / 1e9 for name, rate in peak.items()},
        "copy_gb": 2 * source.nbytes / _time(lambda: into.copy_(source), 0.3) / 1e9,
        "adam_us": {net: 1e6 * seconds for net, seconds in adam.items()},
        "mflop": {net: value / 1e6 for net, value in flop.items()},
        "ideal": ideal,
        "practical": practical,
    }
