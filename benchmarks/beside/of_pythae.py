"""The tasks in Pythae 0.1.2, by its own model, trainer and sampler as they come."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

from . import nets
from .work import Clock, images, repeated

__all__ = ["encoding", "likelihood", "sampling", "step", "train"]

ROWS = 500  # what its sampler decodes at once, and here its encoder too


class Encoder(BaseEncoder):
    """The shared encoder in Pythae's form."""

    def __init__(self, net: str) -> None:
        super().__init__()
        self.net, self.latent_dim = nets.encoder(net), nets.LATENT

    def forward(self, x: Tensor) -> ModelOutput:
        """Returns the posterior of each image."""
        mean, log_var = nets.mean_log_var(self.net(x))
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    """The shared decoder in Pythae's form: it reads probabilities, not logits."""

    def __init__(self, net: str) -> None:
        super().__init__()
        self.net = nets.decoder(net)

    def forward(self, z: Tensor) -> ModelOutput:
        """Returns the probability of each pixel."""
        return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))


class Marks(TrainingCallback):
    """Times each epoch, and keeps its validation loss."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.losses = clock, []

    def on_epoch_begin(self, training_config: Any, **kwargs: Any) -> None:
        """Starts an epoch."""
        self.clock.begin()

    def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
        """Ends it."""
        self.clock.end()

    def on_log(self, training_config: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Keeps the validation loss."""
        if "eval_epoch_loss" in logs:
            self.losses.append(logs["eval_epoch_loss"])


def _model(task: dict[str, Any]) -> VAE:
    settings = VAEConfig(input_dim=nets.IMAGE, latent_dim=nets.LATENT, reconstruction_loss="bce")
    net = task.get("net", "mlp")
    model = VAE(settings, encoder=Encoder(net), decoder=Decoder(net))
    nets.load(task, model.encoder.net, model.decoder.net)
    model.device = "cpu"
    return model.eval()


def _dataset(task: dict[str, Any], split: str, n: int) -> BaseDataset:
    return BaseDataset(images(task["data"], split, n), torch.ones(n))


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Trains; each epoch is timed."""
    logging.disable(logging.INFO)
    data = _dataset(task, "train", task["n"])
    valid = _dataset(task, "test", task["valid"]) if "valid" in task else None
    model = _model(task)
    clock = Clock()
    marks = Marks(clock)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model=model,
            train_dataset=data,
            eval_dataset=valid,
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=task["epochs"],
                learning_rate=1e-3,
                per_device_train_batch_size=task["batch"],
                per_device_eval_batch_size=ROWS,
                seed=task["seed"],
                no_cuda=True,
            ),
            callbacks=[marks],
        )
        trainer.train()
    return {
        **clock.result(task["n"], task["n"] // task["batch"]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "elbo": [-loss for loss in marks.losses],
    }


def step(task: dict[str, Any]) -> dict[str, Any]:
    """Takes one step of training."""
    return train(task)


def likelihood(task: dict[str, Any]) -> dict[str, Any]:
    """Estimates the log-likelihood of n images: its `get_nll`, which returns it unnegated.

    It takes k samples only where k is a multiple of its batch size, or equal to it.
    """
    assert task["k"] % task["batch"] == 0
    model = _model(task)
    x = images(task["data"], "test", task["n"])
    quiet = contextlib.nullcontext() if task.get("gradients") else torch.no_grad()
    with quiet:
        model.get_nll(x[:2], n_samples=task["k"], batch_size=task["batch"])
        at = time.perf_counter()
        value = model.get_nll(x, n_samples=task["k"], batch_size=task["batch"])
        seconds = time.perf_counter() - at
    return {"seconds": seconds, "count": task["n"], "value": float(value)}


def sampling(task: dict[str, Any]) -> dict[str, Any]:
    """Draws n new images: its sampler returns their means."""
    from pythae.samplers import NormalSampler

    sampler = NormalSampler(_model(task))
    with torch.no_grad():
        found = repeated(lambda: sampler.sample(num_samples=task["n"], batch_size=ROWS))
    return {**found, "count": task["n"]}


def encoding(task: dict[str, Any]) -> dict[str, Any]:
    """Encodes n images by `embed`, which draws and decodes too, or by its encoder alone."""
    model = _model(task)
    parts = images(task["data"], "test", task["n"]).split(ROWS)

    def once() -> None:
        if task.get("alone"):
            torch.cat([model.encoder(x).embedding for x in parts])
        else:
            torch.cat([model.embed(x) for x in parts])

    with torch.no_grad():
        return {**repeated(once), "count": task["n"]}
