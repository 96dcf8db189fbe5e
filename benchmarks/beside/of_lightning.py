"""Training by Lightning's Trainer with its extras off: no logger, checkpoints or progress bar."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning
import torch
from torch import Tensor

from . import of_plain
from .work import Clock

__all__ = ["step", "train"]


class Module(lightning.LightningModule):
    """The plain example's model as a LightningModule."""

    def __init__(self, net: str) -> None:
        super().__init__()
        self.model = of_plain.VAE(net)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Returns the negative ELBO, a datum."""
        return of_plain.loss(self.model, batch[0]) / len(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam as it comes."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Marks(lightning.Callback):
    """Times each epoch."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Ends an epoch."""
        self.clock.end()


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Trains; each epoch is timed."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    batches = of_plain.loader(task)
    module = Module(task["net"])
    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=task["epochs"], callbacks=[Marks(clock)], barebones=True
    )
    clock.begin()
    trainer.fit(module, batches)
    return {
        **clock.result(task["n"], task["n"] // task["batch"]),
        "parameters": sum(p.numel() for p in module.parameters()),
    }


def step(task: dict[str, Any]) -> dict[str, Any]:
    """Takes one step of training."""
    return train(task)
