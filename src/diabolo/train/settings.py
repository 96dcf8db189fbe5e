"""What the settings of a training mean for this machine, these data and this recipe.

Shapes: none; everything is a name or a number.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import ranks
from ..config import TrainConfig
from ..data import Data
from ..errors import DiaboloError
from ..graph import compiler
from ..model import LatentModel, Recipe
from ..objectives import declaration, price
from .step import Step, measure
from .validate import selector

__all__ = [
    "clipped",
    "computing",
    "other_bits",
    "own_randomness",
    "pick_device",
    "refuse",
    "settle",
]

PAYS = 1.15  # how much faster bfloat16 has to be


class Costs(NamedTuple):
    """What training takes on a kind of device, roughly.

    It only decides what is worth compiling, and is constant so that the same training is computed
    alike each time.

    Attributes:
        step: Seconds of an eager step without its arithmetic: on a GPU, to start its kernels.
        flops: Operations a second of the arithmetic.
        compiled: Seconds of training above which compiling pays.
    """

    step: float
    flops: float
    compiled: float


COSTS = {"cpu": Costs(1e-3, 1.5e11, 60.0), "cuda": Costs(4e-3, 1e13, 30.0)}  # two cores; an H100


def pick_device(name: str) -> torch.device:
    """Returns the device that `auto`, `cpu`, `cuda` or `mps` means here.

    Raises:
        DiaboloError: If the device asked for is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and ranks.several() and torch.cuda.is_available():
        if ranks.local() >= torch.cuda.device_count():
            raise DiaboloError(
                f"Process {ranks.local()} of this machine has no device of its own, since there "
                f"are {torch.cuda.device_count()}: start as many processes as devices."
            )
        return torch.device("cuda", ranks.local())
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, True):
        raise DiaboloError(f"train.device is '{name}', but this machine has none. Use 'auto'.")
    return torch.device(name)


def computing(config: TrainConfig) -> dict[str, Any]:
    """Returns on what a settled configuration computes: equal bits need all of it to be equal.

    Raises:
        DiaboloError: If the device asked for is not there.
    """
    return {
        "device": pick_device(config.device).type,
        "precision": "float32" if config.precision == "auto" else config.precision,
        "compile": config.compile == "on" and not ranks.several(),
        "threads": torch.get_num_threads(),
        **({"processes": ranks.count()} if ranks.several() else {}),
        "torch": str(torch.__version__),
    }


def other_bits(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Returns a sentence if what computes a training is not what computed it before."""
    before, now = ({"processes": 1, **computing} for computing in (before, now))
    changed = [
        f"{name} was {before.get(name)} and is {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if not changed:
        return None
    return (
        "The training goes on, but not bit for bit as if it had never stopped: "
        f"{', '.join(changed)}."
    )


def settle(
    recipe: Recipe, train: Data, config: TrainConfig, before: Mapping[str, Any] | None = None
) -> tuple[TrainConfig, list[str]]:
    """Returns a configuration in which nothing is `auto`, and sentences about what was chosen.

    A training that is gone on with keeps what it was begun with.

    Arguments:
        recipe: What is to be trained.
        train: The training data.
        config: How to train.
        before: The configuration that the training began with, if it is gone on with.
    """
    auto = [name for name in ("precision", "compile") if getattr(config, name) == "auto"]
    if before is not None:
        return _chosen(config, before), []
    if not auto:
        asked = ranks.several() and config.compile == "on"
        return config, ["The step of several processes is not compiled."] if asked else []
    device = pick_device(config.device)
    costs = COSTS.get(device.type, COSTS["cpu"])
    seconds = _estimate(recipe, train, config, costs)
    chosen = {"precision": "float32", "compile": "off"}
    notes: list[str] = []
    long = seconds >= costs.compiled
    one = not ranks.several()  # one graph holds no other process
    if one and long and "compile" in auto and config.accumulate <= 4 and device.type != "mps":
        if compiler() is not None:
            chosen["compile"] = "on"
            notes.append("The step is compiled, which takes up to half a minute once.")
        else:
            notes.append(
                "There is no C++ compiler (g++), so the step is not compiled: it is slower."
            )
    if long and "precision" in auto and train.support in ("binary", "category"):
        ratio = _gain(recipe, train, config, device)
        if ratio >= PAYS:
            chosen["precision"] = "bf16"
            notes.append(
                f"Networks compute in bfloat16, measured {ratio:.1f} times as fast here as float32."
            )
    return _chosen(config, chosen), notes


def _chosen(config: TrainConfig, found: Mapping[str, Any]) -> TrainConfig:
    """Returns a configuration with what was found where it says `auto`."""
    if config.precision == "auto":
        config = replace(config, precision=found["precision"])
    if config.compile == "auto":
        config = replace(config, compile=found["compile"])
    return config


def _estimate(recipe: Recipe, train: Data, config: TrainConfig, costs: Costs) -> float:
    """Returns roughly how many seconds a training takes on a device, from its arithmetic."""
    size = min(config.batch_size, len(train))
    steps = config.epochs * (len(train) // size)
    least = steps * costs.step
    limit = math.inf if config.minutes is None else 60 * config.minutes
    if least >= costs.compiled or limit < costs.compiled:
        return min(least, limit)
    with _aside(recipe) as model, torch.no_grad(), FlopCounterMode(display=False) as counter:
        device = next(model.parameters()).device
        model.requires_grad_(False)  # the counter's hooks take modules that learn for a backward
        passes = 3 if model.charge is None else 6  # a gradient costs twice the pass itself
        model.charge = None  # nor do the hooks let gradients inside a pass be taken
        measure(recipe._replace(model=model), train.to(device).batch(torch.arange(size)))
    return min(least + steps * passes * counter.get_total_flops() / costs.flops, limit)


@contextlib.contextmanager
def _aside(recipe: Recipe) -> Iterator[LatentModel]:
    """Yields a copy of the model, so that a trial leaves no trace, nor in the random numbers."""
    with torch.random.fork_rng(devices=[]):
        yield copy.deepcopy(recipe.model).eval()


def _gain(recipe: Recipe, train: Data, config: TrainConfig, device: torch.device) -> float:
    """Returns how many times faster the gradient is in bfloat16, measured on one batch."""
    with _aside(recipe) as model:
        model.to(device)
        rows = torch.arange(min(config.batch_size, len(train)))
        batch = train.to(device).batch(rows)
        took: dict[str, float] = {}
        for precision in ("float32", "bf16") * 2:  # the first round warms up
            trial = Step(
                recipe._replace(model=model), replace(config, precision=precision, ema=0), device
            )
            times: list[float] = []
            for _ in range(5):
                began = time.perf_counter()
                with trial.precision():
                    value, _ = measure(trial.recipe, batch)
                (-value).backward()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - began)
            took[precision] = min(times)
    return took["float32"] / took["bf16"]


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
    if not len(train) or not len(valid):
        raise DiaboloError(
            f"Training needs data to fit and data to validate, but got {len(train)} and "
            f"{len(valid)}."
        )
    if len(valid) < 2 and declaration(selector(recipe).objective).batch_level:
        raise DiaboloError(
            "This model's weights are selected by an objective that compares the data of a batch: "
            "it needs two validation data at least, but got one."
        )
    plain = not recipe.model.deterministic and price(recipe.objective) is not None
    if config.select == "price" and not plain:
        raise DiaboloError(
            "select='price' needs an objective that pays a price of one's choice for the rate, as "
            "that of 'beta_vae': leave it out."
        )
    family = recipe.model.likelihood.family
    if config.accumulate > 1 and (declaration(recipe.objective).batch_level or family.batch_level):
        raise DiaboloError(
            "This objective depends on the whole batch, so it cannot be accumulated over "
            "several: use accumulate=1 with a larger batch_size."
        )
    if ranks.several():
        _refuse_several(recipe, config, len(train))
    groups = declaration(recipe.objective).groups
    if groups is not None and len(recipe.model.groups) > groups:
        raise DiaboloError(
            f"This objective takes models with at most {groups} latent group, but this one has "
            f"{len(recipe.model.groups)}."
        )


def _refuse_several(recipe: Recipe, config: TrainConfig, count: int) -> None:
    said, family = declaration(recipe.objective), recipe.model.likelihood.family
    if (said.batch_level and not said.gathers) or (family.batch_level and not family.gathers):
        raise DiaboloError(
            "This objective depends on the whole batch, of which each process has a part: train "
            "in one process, or take its means with ranks.batch_mean and declare gathers=True."
        )
    size = min(config.batch_size, count)
    if size < ranks.count():
        raise DiaboloError(
            f"A batch of {size} data has no part for each of {ranks.count()} processes: take a "
            "larger batch_size or fewer processes."
        )


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Leaves the caller's generators as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
