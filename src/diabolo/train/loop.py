"""The only training loop: any recipe, any data, one hook.

Order and noise are functions of (seed, epoch) and (seed, step), so a run repeats exactly and a
resumed one goes on as if never stopped. Weights are selected by the validation ELBO (price 1, no
free bits, fixed noise), whatever the objective.

Shapes: K posterior samples, B batch, L latent groups.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint import load_state, save_state
from ..config import TrainConfig
from ..data import Batch, Data
from ..errors import DiaboloError
from ..model import Recipe
from ..noise import KeyedNoise, mix_seed
from ..objectives import Warmup, elbo, terms
from .history import History, Row, rates, stop_at
from .settings import computing, pick_device, refuse
from .settle import settled

__all__ = ["fit"]

CHECK_EVERY = 100  # batches between looks for numbers that are not finite: one host sync each
DEFAULT = TrainConfig()
# What may differ in a resumed training: when to stop, and where to compute.
MAY_CHANGE = ("epochs", "minutes", "patience", "device", "compile", "checkpoint_minutes")


def fit(
    recipe: Recipe,
    train: Data,
    valid: Data,
    config: TrainConfig = DEFAULT,
    *,
    on_epoch: Callable[[Row], None] | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> History:
    """Maximises the objective and leaves the best weights in the model.

    Arguments:
        recipe: A model, an objective and k.
        train: What is fitted.
        valid: What selects the weights.
        config: How to train.
        on_epoch: Called with each row.
        checkpoint: A file for the state of the training, written now and then and when it is
            interrupted; None for none.
        resume: A file with the state of a training to go on from.

    Returns:
        The rows. An interrupt ends training in order, with `stopped="interrupt"`.

    Raises:
        Diverged: If a number is not finite; the model holds the best weights before that.
        DiaboloError: If the configuration cannot be honoured.
    """
    refuse(recipe, train, valid, config)
    with _own_randomness():
        loop = _Loop(recipe, train, valid, config, checkpoint)
        if resume is not None:
            loop.load(load_state(resume))
        return loop.run(on_epoch)


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Leaves the caller's generators as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield


def measure(recipe: Recipe, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns the summed objective, and the sums (3 + L,) of its value and parts, in nats."""
    trace = recipe.model(batch.x, batch.c, k=recipe.k, mask=batch.mask)
    t = terms(recipe.objective, trace)
    parts = torch.stack([t.value, t.distortion, t.penalty, *t.rate]).sum(1)
    return t.value.sum(), parts.detach()


@torch.no_grad()
def validate(recipe: Recipe, data: Data, seed: int, size: int) -> Tensor:
    """Returns the means (2 + L,) of ELBO, distortion and rates, noise keyed by row."""
    sums = []
    for batch in data.batches(size):
        noise = KeyedNoise(seed, batch.index)
        t = terms(elbo, recipe.model(batch.x, batch.c, mask=batch.mask, noise=noise))
        sums.append(torch.stack([t.value, t.distortion, *t.rate]).double().sum(1))
    return torch.stack(sums).sum(0) / len(data)


class _Loop:
    """The state of one training."""

    def __init__(
        self, recipe: Recipe, train: Data, valid: Data, config: TrainConfig, path: Path | None
    ) -> None:
        self.recipe, self.config, self.path = recipe, config, path
        self.device = pick_device(config.device)
        recipe.model.to(self.device)
        if isinstance(recipe.objective, nn.Module):
            recipe.objective.to(self.device)
        self.train, self.valid = train.to(self.device), valid.to(self.device)
        self.parameters: list[Tensor] = [p for p in recipe.model.parameters() if p.requires_grad]
        self.optimizer = _optimizer(self.parameters, config)
        self.shadow = [p.detach().clone() for p in self.parameters] if config.ema else []
        self.batch_size = min(config.batch_size, len(train))
        self.batches = len(train) // self.batch_size
        self.total = config.epochs * math.ceil(self.batches / config.accumulate)
        self.measure = torch.compile(measure) if computing(config)["compile"] else measure
        self.history = History()
        self.step, self.waited, self.before = 0, 0, 0.0
        self.best, self.best_state = -math.inf, _snapshot(recipe.model)
        self.began = self.saved = time.monotonic()
        self.kept: dict[str, Any] | None = None  # the state at the end of the last whole epoch

    def run(self, on_epoch: Callable[[Row], None] | None) -> History:
        self.began = self.saved = time.monotonic()
        try:
            while not self._ended():
                epoch = len(self.history.rows)
                parts = self._epoch(epoch)
                row = self._validate(epoch, parts)
                self.history.rows.append(row)
                self._keep()
                if on_epoch is not None:
                    on_epoch(row)
                self._save()
        except KeyboardInterrupt:
            self.history.stopped = "interrupt"
            self._save()
            if self.best == -math.inf and all(bool(p.isfinite().all()) for p in self.parameters):
                self.best_state = _snapshot(self.recipe.model)
        finally:
            self.recipe.model.load_state_dict(self.best_state)
            self.recipe.model.zero_grad(set_to_none=True)
            self.recipe.model.eval()
        return self.history

    def _ended(self) -> bool:
        """Whether training is over, after one epoch at least; the history says why."""
        rows, config = self.history.rows, self.config
        if rows and config.minutes is not None and self.step < self.total and self._progress() >= 1:
            self.history.stopped = "minutes"
        elif len(rows) >= config.epochs:
            self.history.stopped = "epochs"
        elif config.patience is not None and self.waited >= config.patience:
            self.history.stopped = "patience"
        else:
            return False
        return True

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def _progress(self) -> float:
        """The part of training that is done, by steps or by the clock."""
        done = self.step / self.total
        if self.config.minutes is not None:
            done = max(done, self.seconds() / (60 * self.config.minutes))
        return min(done, 1.0)

    def _learning_rate(self, progress: float) -> float:
        rate = self.config.learning_rate
        if progress < self.config.warmup:
            return rate * max(progress / self.config.warmup, 1e-3)
        if self.config.schedule == "cosine":
            part = (progress - self.config.warmup) / (1 - self.config.warmup)
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part))
        return rate

    def _epoch(self, epoch: int) -> Tensor:
        """Trains one epoch; returns the means (3 + L,) of the objective and its parts."""
        self.recipe.model.train()
        order = torch.Generator().manual_seed(mix_seed(self.config.seed, 1, epoch))
        seen: list[Tensor] = []
        first, pending = self.step, 0
        torch.manual_seed(mix_seed(self.config.seed, 2, self.step))
        for i, batch in enumerate(self.train.batches(self.batch_size, order)):
            with self._precision():
                value, parts = self.measure(self.recipe, batch)
            pending += len(batch.x)
            (-value).backward()
            seen.append(parts)
            if (i + 1) % self.config.accumulate == 0 or i + 1 == self.batches:
                self._update(pending)
                pending = 0
                # The next batch is decoded when the iterator goes on: its noise starts here.
                torch.manual_seed(mix_seed(self.config.seed, 2, self.step))
            if (i + 1) % CHECK_EVERY == 0:
                self._check(seen, first, i + 1 - CHECK_EVERY)
            if self.config.minutes is not None and self._progress() >= 1:
                break
        self._check(seen, first)
        return torch.stack(seen).double().sum(0) / (len(seen) * self.batch_size)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _update(self, count: int) -> None:
        for p in self.parameters:
            if p.grad is not None:
                p.grad.div_(count)
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        progress = self._progress()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if isinstance(self.recipe.objective, Warmup):
            self.recipe.objective.advance(self._progress())
        if self.shadow:
            decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.shadow, self.parameters, 1 - decay)

    def _check(self, seen: list[Tensor], first: int, start: int = 0) -> None:
        """Stops at a number that is not finite, naming its step and term.

        Arguments:
            seen: The parts of each batch of the epoch.
            first: The steps before the epoch.
            start: How many batches have been looked at before.
        """
        values = torch.stack(seen[start:])
        bad = ~torch.isfinite(values)
        if not bool(bad.any()):
            return
        i = int(bad.any(1).nonzero()[0])
        value, distortion, penalty, *rate = values[i].tolist()
        step = first + (start + i) // self.config.accumulate + 1
        stop_at(
            {"distortion": distortion, **rates(rate), "penalty": penalty, "objective": value},
            step,
            self.history.rows,
        )

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Puts the averaged weights in the model for a while."""

        def swap() -> None:
            for p, s in zip(self.parameters, self.shadow, strict=True):
                p.data, s.data = s.data, p.data

        if not self.shadow:
            yield
            return
        swap()
        try:
            with settled(self.recipe, self.train, self.config.seed, self.batch_size):
                yield
        finally:
            swap()

    def _validate(self, epoch: int, parts: Tensor) -> Row:
        self.recipe.model.eval()
        with self._averaged():
            seed = mix_seed(self.config.seed, 3)
            found = validate(self.recipe, self.valid, seed, max(self.batch_size, 500)).tolist()
            ends = {"distortion": found[1], **rates(found[2:]), "ELBO": found[0]}
            named = {f"validation {term}": value for term, value in ends.items()}
            stop_at(named, self.step, self.history.rows)
            better = found[0] > self.best
            if better:
                self.best_state = _snapshot(self.recipe.model)
                self.best, self.waited = found[0], 0
            else:
                self.waited += 1
        value, distortion, penalty, *rate = parts.tolist()
        return Row(
            epoch=epoch + 1,
            step=self.step,
            seconds=round(self.seconds(), 3),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            objective=value,
            distortion=distortion,
            rate=tuple(rate),
            penalty=penalty,
            valid_elbo=found[0],
            valid_distortion=found[1],
            valid_rate=tuple(found[2:]),
            best=better,
        )

    def _keep(self) -> None:
        """Holds a copy of the state: an interrupt in the middle of an epoch goes back to it."""
        if self.path is not None:
            now = self.state()
            constant = {name: now.pop(name) for name in ("best_state", "rows")}
            self.kept = {**copy.deepcopy(now), **constant}

    def _save(self) -> None:
        """Writes the state that is held, if that is due or training ends before its time."""
        late = time.monotonic() - self.saved >= 60 * self.config.checkpoint_minutes
        if self.path is None or self.kept is None:
            return
        if late or self.history.stopped == "interrupt":
            self.saved = time.monotonic()
            rows = [asdict(r) for r in self.kept["rows"]]
            save_state(self.path, {**self.kept, "rows": rows})

    def state(self) -> dict[str, Any]:
        """Everything that training goes on from; noise and order follow from seed and step."""
        objective = self.recipe.objective
        return {
            "config": asdict(self.config),
            "model": self.recipe.model.state_dict(),
            "objective": objective.state_dict() if isinstance(objective, nn.Module) else {},
            "optimizer": self.optimizer.state_dict(),
            "shadow": self.shadow,
            "best": self.best,
            "best_state": self.best_state,
            "step": self.step,
            "waited": self.waited,
            "seconds": self.seconds(),
            "rows": list(self.history.rows),
        }

    def load(self, state: dict[str, Any]) -> None:
        for name, now in asdict(self.config).items():
            before = state["config"].get(name)
            if name not in MAY_CHANGE and before != now:
                raise DiaboloError(
                    f"This training began with train.{name}={before} and cannot go on with {now}: "
                    "keep it, or start a new training from these weights."
                )
        try:
            self.recipe.model.load_state_dict(state["model"])
            if isinstance(self.recipe.objective, nn.Module):
                self.recipe.objective.load_state_dict(state["objective"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise DiaboloError(
                "The checkpoint is of another model: resume with the recipe and the options "
                "that the training began with."
            ) from None
        self.shadow = [s.to(self.device) for s in state["shadow"]]
        self.best, self.best_state = state["best"], state["best_state"]
        self.step, self.waited, self.before = state["step"], state["waited"], state["seconds"]
        self.history.rows = [Row.of(r) for r in state["rows"]]
        self._keep()


def _optimizer(parameters: list[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adamax":
        return torch.optim.Adamax(parameters, lr=config.learning_rate)
    if config.optimizer == "adamw":
        decay = config.weight_decay
        return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=decay, fused=True)
    return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)


def _snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}
