"""The tasks in Diabolo, as its users do them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import diabolo
from diabolo import evaluate
from diabolo.config import DataConfig
from diabolo.data import Data, load
from diabolo.model import Recipe
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.train import fit

from . import nets
from .work import Clock, bits, images, repeated

__all__ = ["encoding", "likelihood", "prepare", "sampling", "step", "train"]

FEW = 100  # validation data where validation is not what is measured; the peers have none then


def _data(task: dict[str, Any], split: str, n: int) -> Data:
    return Data(bits(task["data"], split, n), support="binary")


def recipe(net: str, count: int, *, latent: int = nets.LATENT, k: int | None = None) -> Recipe:
    """Returns a VAE of these networks; with k, one trained on the bound of k samples.

    It begins at the networks' own start, as the peers do: the spec has no mean.
    """
    spec = Spec(event=nets.IMAGE, support="binary", count=count)
    options: dict[str, Any] = {"latent": latent, "net": nets.NAMES[net]}
    return build("vae", spec, **options) if k is None else build("iwae", spec, k=k, **options)


def config(task: dict[str, Any]) -> diabolo.TrainConfig:
    """Returns the training that a task asks for; all else is as it comes."""
    return diabolo.TrainConfig(
        epochs=task["epochs"],
        batch_size=task["batch"],
        precision=task.get("precision", "float32"),
        compile=task.get("compile", "off"),
        seed=task["seed"],
    )


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Trains; each epoch is timed with the validation that ends it."""
    data = _data(task, "train", task["n"])
    valid = _data(task, "test", task.get("valid", FEW))
    made = recipe(task["net"], task["n"], latent=task.get("latent", nets.LATENT), k=task.get("k"))
    clock = Clock()
    history = fit(made, data, valid, config(task), on_epoch=lambda row: clock.end())
    return {
        **clock.result(task["n"], task["n"] // task["batch"]),
        "parameters": sum(p.numel() for p in made.model.parameters()),
        "elbo": [row.valid_elbo for row in history.rows],
    }


def step(task: dict[str, Any]) -> dict[str, Any]:
    """Takes one step of training."""
    return train(task)


def prepare(task: dict[str, Any]) -> dict[str, Any]:
    """Writes the data as bits and trained weights of the perceptron, for everyone to read."""
    folder = Path(task["data"])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train.u8").exists():
        for name, x in _source(task).items():
            x.tofile(folder / f"{name}.u8")
    made = recipe("mlp", task["n"])
    fit(made, _data(task, "train", task["n"]), _data(task, "test", 1000), config(task))
    found = {
        "encoder": made.model.latent.posterior.net.state_dict(),
        "decoder": made.model.likelihood.net.state_dict(),
    }
    torch.save(found, task["save"])
    return {}


def _source(task: dict[str, Any]) -> dict[str, Any]:
    """Returns train and test images of bits: MNIST cut at one half, or something of its shape."""
    if task["data_dir"] is None:
        random = np.random.default_rng(0)
        code = random.standard_normal((70_000, 10), dtype=np.float32)
        weight = random.standard_normal((10, 784), dtype=np.float32)
        drawn = code @ weight - 3.5 > random.standard_normal((70_000, 784), dtype=np.float32)
        x = drawn.astype(np.uint8).reshape(-1, *nets.IMAGE)
        return {"train": x[:60_000], "test": x[60_000:]}
    found = load(
        "mnist",
        DataConfig(source="mnist", data_dir=task["data_dir"], binarize="threshold", valid=96),
    ).splits
    assert found.test is not None

    def seen(data: Data) -> Any:
        parts = torch.arange(len(data)).split(10_000)
        return torch.cat([data.batch(rows).x.to(torch.uint8) for rows in parts]).numpy()

    return {"train": seen(found.train), "test": seen(found.test)}


def _trained(task: dict[str, Any]) -> diabolo.Run:
    """Returns a run with the prepared weights: one step of training makes it."""
    few = images(task["data"], "train", 128).numpy()
    run = diabolo.fit(few, "vae", net=nets.NAMES["mlp"], latent=nets.LATENT, epochs=1)
    assert str(run.spec) == "binary 1x28x28", run.spec
    nets.load(task, run.model.latent.posterior.net, run.model.likelihood.net)
    return run


def _precision(task: dict[str, Any]) -> dict[str, Any]:
    return {} if task["precision"] == "float32" else {"precision": task["precision"]}


def likelihood(task: dict[str, Any]) -> dict[str, Any]:
    """Estimates the log-likelihood of n images with k samples each."""
    made = recipe("mlp", task["n"])
    nets.load(task, made.model.latent.posterior.net, made.model.likelihood.net)
    data = _data(task, "test", task["n"])
    found: list[evaluate.Estimate] = []

    def once() -> None:
        found.append(
            evaluate.log_likelihood(
                made.model, data, k=task["k"], seed=task["seed"], precision=task["precision"]
            )
        )

    out = repeated(once, least=1.0, most=3)
    last = found[-1]
    assert last.per_datum_stderr is not None
    few = task.get("shared", 48)  # the images that the peers estimate too
    return {
        **out,
        "count": task["n"],
        "value": float(last.per_datum[:few].mean()),
        "stderr": float(last.per_datum_stderr[:few].square().sum().sqrt()) / few,
    }


def sampling(task: dict[str, Any]) -> dict[str, Any]:
    """Draws the means of n new images."""
    run, more = _trained(task), _precision(task)
    return {**repeated(lambda: run.sample(task["n"], mean=True, **more)), "count": task["n"]}


def encoding(task: dict[str, Any]) -> dict[str, Any]:
    """Encodes n images to the means of their posteriors."""
    run, more = _trained(task), _precision(task)
    x = images(task["data"], "test", task["n"]).numpy()
    return {**repeated(lambda: run.encode(x, **more)), "count": task["n"]}
