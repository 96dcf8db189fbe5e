"""Two measurements of their own: learning curves over seeds, and how cost grows."""

from __future__ import annotations

from typing import Any

from .plan import WHOLE

__all__ = ["BASE", "curves", "growth"]

BASE = "Pythae"
WAYS: dict[str, dict[str, Any]] = {
    BASE: {"who": "pythae"},
    "Diabolo float32": {"who": "diabolo", "precision": "float32", "compile": "off"},
    "Diabolo bfloat16": {"who": "diabolo", "precision": "bf16", "compile": "off"},
    "Diabolo float32 compiled": {"who": "diabolo", "precision": "float32", "compile": "on"},
    "Diabolo bfloat16 compiled": {"who": "diabolo", "precision": "bf16", "compile": "on"},
}
GROWING = {
    "float32, eager": {"precision": "float32", "compile": "off"},
    "bfloat16, compiled": {"precision": "bf16", "compile": "on"},
}


def curves(seeds: int, epochs: int) -> list[tuple[str, int, dict[str, Any]]]:
    """Returns (entry, seed, task) of the learning curves: 10,000 images validate each epoch."""
    task = {"task": "train", "net": "mlp", "batch": 128, "n": WHOLE, "epochs": epochs}
    more = {"valid": 10_000, "allocator": True}
    return [
        (name, seed, {**task, **more, **way}) for seed in range(seeds) for name, way in WAYS.items()
    ]


def growth() -> list[tuple[str, str, int, dict[str, Any]]]:
    """Returns (way, axis, value, task): the latent size, the number of data, and k."""
    base = {"who": "diabolo", "task": "train", "net": "mlp", "batch": 128, "allocator": True}
    few = {"n": 60 * 128, "epochs": 3}
    points: list[tuple[str, int, dict[str, Any]]] = []
    points += [("latent", d, {**few, "latent": d}) for d in (2, 20, 100, 1000, 10_000)]
    points += [("data", n, {"n": n, "epochs": 2}) for n in (46 * 128, WHOLE, 4 * WHOLE)]
    sizes = {1: few, 10: few, 100: {"n": 1280, "epochs": 2}, 1000: {"n": 256, "epochs": 2}}
    points += [("k", k, {**size, "k": k}) for k, size in sizes.items()]
    return [
        (way, axis, value, {**base, **task, **how})
        for axis, value, task in points
        for way, how in GROWING.items()
    ]
