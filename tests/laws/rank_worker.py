"""What each process does in the laws of several processes: `torchrun ... rank_worker.py CASES OUT`.

The first process stores weights and rows of each case; in one process, `run` returns them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from diabolo import ranks
from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.data.decode import Binarize, Dequantize, Scale
from diabolo.evaluate import (
    active_units,
    annealed,
    bound,
    distortion,
    exact,
    exchange,
    log_likelihood,
    pit,
    posterior_ranks,
    refine,
    reliability,
    sensitivity,
)
from diabolo.objectives import Schedule
from diabolo.recipes import build
from diabolo.train import fit

N, VALID = 70, 23
TRAIN: dict[str, Any] = {"epochs": 2, "batch_size": 17, "seed": 3}
TRAIN |= {"compile": "off", "precision": "float32"}
REAL, GREY = "real", "grey"
# recipe, data, options of the recipe, options of the training
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ae": ("ae", REAL, {}, {}),
    "vae": ("vae", REAL, {}, {}),
    "bits": ("vae", "bits", {}, {"accumulate": 2, "ema": 0.9, "schedule": "cosine"}),
    "dequantized": ("vae", "levels", {}, {"optimizer": "adamw", "weight_decay": 0.1}),
    "free bits": ("beta_vae", REAL, {"free_bits": 0.1, "warmup": 0.5}, {}),
    "optimal scale": ("vae", REAL, {"likelihood": "Normal(scale='optimal')"}, {"ema": 0.9}),
    "dreg": ("dreg", "bits", {"k": 4}, {}),
    "iwae": ("iwae", "bits", {"k": 3}, {"clip": 0.5}),
    "sparse": ("sparse_ae", REAL, {"sparsity": "kl", "target": 0.3}, {}),
    "contractive": ("contractive_ae", REAL, {"jacobian": "estimate"}, {}),
    "denoising": ("denoising_ae", REAL, {}, {}),
    "cvae": ("cvae", "conditional", {"dropout": 0.3}, {}),
    "ladder": ("ladder", "bits", {}, {}),
    "hierarchical": ("hierarchical", "bits", {}, {}),
    "capacity": ("capacity_vae", REAL, {"capacity": 2.0}, {}),
    "target": ("geco", "bits", {"target": 1.0}, {"accumulate": 2, "ema": 0.9}),
    "partial": ("piwae", "bits", {"k": 4, "bounds": 2}, {}),
    "correlation": ("beta_tc", REAL, {"alpha": 0.5, "gamma": 2.0}, {}),
    "weighted": ("beta_tc", "bits", {"sampling": "weighted", "k": 2}, {"clip": 0.5}),
    "discrepancy": ("info_vae", REAL, {"posterior": "flow", "price": 10.0}, {}),
    "points": ("wae", "bits", {"kernel": "rbf", "price": 10.0}, {}),
    "means": ("dip_vae", REAL, {"kind": "I"}, {}),
    "codes": ("dip_vae", "bits", {"kind": "II"}, {"ema": 0.9}),
    "masked": ("vae", "masked", {}, {"patience": 1, "epochs": 4}),
}


def data(kind: str, n: int, seed: int) -> Data:
    """Small data that are the same in every process."""
    g = torch.Generator().manual_seed(seed)
    if kind in ("bits", "levels"):
        grey = torch.randint(0, 256, (n, 6), generator=g, dtype=torch.uint8)
        if kind == "bits":
            return Data(grey, "binary", decoder=Binarize(Scale()))
        return Data(grey, "real", decoder=Dequantize())
    x = torch.randn(n, 6, generator=g, dtype=torch.float64)
    if kind == "conditional":
        labels = torch.randint(0, 3, (n,), generator=g)
        return Data(x, c=torch.eye(3, dtype=torch.float64)[labels])
    if kind == "masked":
        return Data(x, mask=torch.rand(n, 6, generator=g) > 0.2)
    return Data(x)


def run(case: str, **more: Any) -> dict[str, Any]:
    """Trains one case in float64 and evaluates it; returns weights, rows and numbers."""
    torch.set_default_dtype(torch.float64)
    name, kind, options, training = CASES[case]
    train, valid = data(kind, N, 0), data(kind, VALID, 1)
    torch.manual_seed(0)
    recipe = build(
        name, train.spec(standardize=kind == "levels"), net="mlp(hidden=(7,))", latent=2, **options
    )
    start = {}
    if case == "vae":  # before training, whose rounding chains of many moves would show
        start["annealed"] = annealed(recipe.model, valid, k=2, temperatures=3, batch=4).per_datum
        start["exact"] = exact(recipe.model, valid, batch=4).per_datum
        refined = refine(recipe.model, valid, steps=5, k=20, batch=4)
        start["refined"], start["q"] = refined.refined.per_datum, refined.posterior.mean
        start["ranks"] = posterior_ranks(recipe.model, 24, draws=9, batch=5).values
        start["pit"] = pit(recipe.model, valid, draws=5, batch=4).values
    history = fit(recipe, train, valid, TrainConfig(**{**TRAIN, **training, **more}))
    found = start | {f"model.{k}": v for k, v in recipe.model.state_dict().items()}
    if isinstance(recipe.objective, Schedule):
        found |= {f"objective.{k}": v for k, v in recipe.objective.state_dict().items()}
    rows = [(r.objective, r.distortion, *r.rate, r.penalty, r.valid_elbo) for r in history.rows]
    found["rows"] = torch.tensor(rows)
    found["distortion"] = distortion(recipe.model, valid, batch=4).per_datum
    found["exchange"] = exchange(recipe.model, valid, samples=2).per_datum
    found["slopes"] = sensitivity(recipe.model, valid).nan_to_num(-1.0)
    if case == "bits":
        found["reliability"] = reliability(recipe.model, valid, batch=4).ece.per_datum
    found["units"] = torch.cat(active_units(recipe.model, valid).variance)
    if not recipe.model.deterministic:
        b = bound(recipe.model, valid, batch=4)
        found["elbo"], found["elements"] = b.elbo.per_datum, b.rate_elements[0]
        found["likelihood"] = log_likelihood(recipe.model, valid, k=120, batch=4).per_datum
    return {k: v for k, v in found.items() if v is not None} | {"stopped": history.stopped}


def main(cases: str, out: str) -> None:
    """Stores what the first process finds, and which processes found the same bits."""
    with ranks.joined():
        found = {}
        for case in cases.split(","):
            found[case] = run(case)
            every = ranks.gathered(found[case])
            for other in every[1:]:
                for k, v in every[0].items():
                    same = v.equal(other[k]) if isinstance(v, torch.Tensor) else v == other[k]
                    assert same, f"{case}: '{k}' differs between processes"
        if ranks.lead():
            torch.save({"world": ranks.count(), "found": found}, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
