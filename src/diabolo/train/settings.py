"""What the settings of a training mean for this machine, these data and this recipe.

Shapes: none; everything is a name or a number.
"""

from __future__ import annotations

from typing import Any

import torch

from ..config import TrainConfig
from ..data import Data
from ..errors import DiaboloError
from ..model import Recipe
from ..objectives import declaration

__all__ = ["clipped", "computing", "pick_device", "refuse"]


def pick_device(name: str) -> torch.device:
    """Returns the device that `auto`, `cpu`, `cuda` or `mps` means here.

    Raises:
        DiaboloError: If the device asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, True):
        raise DiaboloError(f"train.device is '{name}', but this machine has none. Use 'auto'.")
    return torch.device(name)


def computing(config: TrainConfig) -> dict[str, Any]:
    """Returns what `auto` means on this machine: device, precision, and whether to compile.

    Raises:
        DiaboloError: If the device asked for is not there.
    """
    device = pick_device(config.device).type
    compiled = config.compile == "on" or (config.compile == "auto" and device == "cuda")
    return {"device": device, "precision": config.precision, "compile": compiled}


def clipped(config: TrainConfig, count: int) -> list[str]:
    """Returns a sentence for each setting that so few training data cannot honour."""
    told = []
    if config.batch_size > count:
        told.append(
            f"batch_size={config.batch_size} is more than the {count} training data: "
            "each batch holds all of them."
        )
    batches = count // min(config.batch_size, count)
    if config.accumulate > batches:
        few = "one batch" if batches == 1 else f"{batches} batches"
        told.append(
            f"accumulate={config.accumulate} is more than the {few} of an epoch: "
            "each epoch is one step."
        )
    return told


def refuse(recipe: Recipe, train: Data, valid: Data, config: TrainConfig) -> None:
    """Refuses a training that cannot be done as it is configured.

    Raises:
        DiaboloError: Naming what cannot be honoured.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        raise DiaboloError("Training on several processes is not supported: start one process.")
    if not len(train) or not len(valid):
        raise DiaboloError(
            f"Training needs data to fit and data to validate, but got {len(train)} and "
            f"{len(valid)}."
        )
    family = recipe.model.likelihood.family
    if config.accumulate > 1 and (declaration(recipe.objective).batch_level or family.batch_level):
        raise DiaboloError(
            "This objective depends on the whole batch, so it cannot be accumulated over "
            "several: use accumulate=1 with a larger batch_size."
        )
    groups = declaration(recipe.objective).groups
    if groups is not None and len(recipe.model.groups) > groups:
        raise DiaboloError(
            f"This objective takes models with at most {groups} latent group, but this one has "
            f"{len(recipe.model.groups)}."
        )
