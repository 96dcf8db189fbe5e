"""The only training loop: any recipe, any data, one hook.

Order and noise are functions of (seed, epoch) and (seed, step), so a run repeats exactly and one
that was stopped after any step goes on as if never stopped. Weights are selected on validation data
with fixed noise, by the ELBO (price 1, no free bits) or what `validate.selector` takes in its
place, where the objective met its aim if any. What moves in the objective is kept and restored with
them.

Shapes: K posterior samples, B batch, L latent groups.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from .. import ranks
from ..checkpoint import load_state, save_state
from ..config import TrainConfig
from ..data import Batch, Data
from ..errors import DiaboloError
from ..graph import NoGraph
from ..model import Recipe
from ..noise import mix_seed, seed_fresh
from .going_on import may_go_on
from .graph import GraphStep
from .history import History, Row, rates, stop_at
from .kept import restore, snapshot, states
from .settings import computing, other_bits, own_randomness, pick_device, refuse, settle
from .settle import settled
from .shared import SharedStep
from .step import Step, advance, lay_out
from .stop import Stopped, agreed, stoppable
from .validate import missed, selector, validate, worth

__all__ = ["fit"]

CHECK_EVERY = 100  # batches between looks for numbers that are not finite: one host sync each
SKIPS = 0.1  # the part of these batches whose steps may be skipped before training has diverged
NONE = (-math.inf, -math.inf)  # the score of weights before there are any
DEFAULT = TrainConfig()


def fit(
    recipe: Recipe,
    train: Data,
    valid: Data,
    config: TrainConfig = DEFAULT,
    *,
    on_epoch: Callable[[Row], object] | None = None,
    on_config: Callable[[TrainConfig], object] | None = None,
    on_note: Callable[[str], object] | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> History:
    """Maximises the objective and leaves the best weights in the model.

    Ctrl-C and SIGTERM end training in order after the step that is being taken, with
    `stopped="interrupt"`; a second Ctrl-C ends it at once.

    Arguments:
        recipe: A model, an objective and k.
        train: What is fitted.
        valid: What selects the weights.
        config: How to train.
        on_epoch: Called with each row.
        on_config: Called once, before the first step, with the configuration in which nothing is
            `auto` any more.
        on_note: Called with sentences for the user: what was chosen, what went wrong.
        checkpoint: A file for the state of the training, written now and then and when it is
            interrupted; None for none.
        resume: A file with the state of a training to go on from.

    Returns:
        The rows, why it ended, and how it was computed.

    Raises:
        Diverged: If too many steps are not finite; the model holds the best weights before that.
        DiaboloError: If the configuration cannot be honoured.
    """
    say = on_note or (lambda sentence: None)
    state = None if resume is None else ranks.first(lambda: load_state(resume))
    refuse(recipe, train, valid, config)
    with own_randomness():
        before = None if state is None else state["config"]
        # What is timed would be another thing in each process.
        config, notes = ranks.first(lambda: settle(recipe, train, config, before))
        for sentence in notes:
            say(sentence)
        if on_config is not None:
            on_config(config)
        loop = _Loop(recipe, train, valid, config, checkpoint, say)
        if state is not None:
            loop.load(state)
        return loop.run(on_epoch)


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        recipe: Recipe,
        train: Data,
        valid: Data,
        config: TrainConfig,
        path: Path | None,
        say: Callable[[str], object],
    ) -> None:
        self.recipe, self.config, self.path, self.say = recipe, config, path, say
        self.device = pick_device(config.device)
        recipe.model.to(self.device)
        if isinstance(recipe.objective, nn.Module):
            recipe.objective.to(self.device)
        self.train, self.valid = train.to(self.device), valid.to(self.device)
        recipe.model.train()
        self.batch_size = min(config.batch_size, len(train))
        self.take = self._step()
        self.batches = len(train) // self.batch_size
        self.total = config.epochs * math.ceil(self.batches / config.accumulate)
        self.history = History(computing=computing(config))
        self.step, self.position, self.waited = 0, 0, 0
        self.before, self.rate = 0.0, config.learning_rate
        self.seen: list[Tensor] = []  # the parts (n, 4 + L) of the batches of this epoch, by step
        self.recent: list[Tensor] = []  # those of the epochs before, as far as they are looked at
        self.best, self.best_state = NONE, snapshot(recipe)
        self.began = self.saved = time.monotonic()
        self.clock, self.asked = 0.0, 0  # by `_agree`
        self.whole = True  # whether no step is being taken at this moment
        self.unsaved = False  # whether the last checkpoint could not be written

    def run(self, on_epoch: Callable[[Row], object] | None) -> History:
        self.began = self.saved = time.monotonic()
        try:
            with stoppable() as asked:
                while not self._ended():
                    self._epoch(asked)
                    self.whole = False
                    row = self._validate()
                    self.history.rows.append(row)
                    self.recent, self.position = (self.recent + self.seen)[-CHECK_EVERY:], 0
                    self.seen.clear()
                    self.whole = True
                    if on_epoch is not None:
                        on_epoch(row)
                    self._pause(asked)
        except KeyboardInterrupt as error:
            self.history.stopped = "interrupt"
            self.history.signal = error.number if isinstance(error, Stopped) else None
            if self.whole:  # else the last checkpoint stands
                self._save()
            if self.best == NONE and all(bool(p.isfinite().all()) for p in self.take.weights):
                self.best_state = snapshot(self.recipe)
        finally:
            lay_out(self.recipe.model, torch.contiguous_format)
            restore(self.recipe, **self.best_state)
            self.recipe.model.zero_grad(set_to_none=True)
            self.recipe.model.eval()
        return self.history

    def _step(self) -> Step:
        """Returns what takes the steps."""
        if ranks.several():
            return SharedStep(self.recipe, self.config, self.device, self.batch_size)
        kind = GraphStep if self.config.compile == "on" else Step
        return kind(self.recipe, self.config, self.device)

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
        return self.clock if ranks.several() else self.before + time.monotonic() - self.began

    def _agree(self, asked: int | None = None) -> None:
        """Makes the clock, and the signal that asks to stop, those of all processes."""
        now = self.before + time.monotonic() - self.began
        self.clock, self.asked = agreed(now, asked)

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

    def _epoch(self, asked: Callable[[], int | None]) -> None:
        """Trains one epoch, or what is left of it."""
        self.recipe.model.train()
        epoch, config = len(self.history.rows), self.config
        order = torch.Generator().manual_seed(mix_seed(config.seed, 1, epoch))
        at, share = self.position, ranks.share()
        batches = self.train.batches(self.batch_size, order, start=at, share=share)
        with contextlib.closing(cast("Generator[Batch]", batches)):
            while self.position < self.batches:
                # A batch is decoded when it is asked for, so its noise belongs to the step too.
                seed_fresh(mix_seed(config.seed, 2, self.step), self.device)
                few = min(config.accumulate, self.batches - self.position)
                self.whole = False
                self.seen.append(self._take(islice(batches, few)))
                self.step, self.position = self.step + 1, self.position + few
                advance(self.recipe.objective, self._progress(), self.seen[-1], self.batch_size)
                self.whole = True
                if len(self.seen) % max(1, CHECK_EVERY // config.accumulate) == 0:
                    self._check()
                if config.minutes is not None and self._progress() >= 1:
                    break
                if self.position < self.batches:
                    self._pause(asked)
        self._check()

    def _take(self, batches: Iterator[Batch]) -> Tensor:
        """Takes a step, eagerly from the first one on if it cannot be compiled."""
        decay = min(self.config.ema, (1 + self.step + 1) / (10 + self.step + 1))
        rate = self.rate = self._learning_rate(self._progress())
        group = list(batches) if isinstance(self.take, GraphStep) else batches
        try:
            return self.take(group, rate, decay)
        except NoGraph as reason:
            self.say(f"Training goes on without compilation, since {reason}.")
            state, config = self.take.state(), replace(self.config, compile="off")
            self.take = Step(self.recipe, config, self.device)
            self.take.load(state)
            self.history.computing = computing(config)
            return self.take(group, rate, decay)  # to trace draws no random numbers

    def _pause(self, asked: Callable[[], int | None]) -> None:
        """Between two steps: writes a checkpoint that is due, and stops if that is asked for."""
        self._agree(asked())
        if self.asked:
            raise Stopped(self.asked)
        if time.monotonic() - self.saved >= 60 * self.config.checkpoint_minutes:
            self._save()

    def _check(self) -> None:
        """Stops if too many of the last steps were skipped, naming the first one's term."""
        last: list[Tensor] = []
        for parts in chain(reversed(self.seen), reversed(self.recent)):
            if sum(map(len, last)) >= CHECK_EVERY:
                break
            last.insert(0, parts)
        values = torch.cat(last)
        bad = ~torch.isfinite(values).all(1) | (values[:, -1] > 0)
        skipped = [bool(b.any()) for b in bad.split([len(v) for v in last])]
        if sum(skipped) <= max(1, SKIPS * len(skipped)):
            return
        value, distortion, penalty, *rate = values[bad][0, :-1].tolist()
        named = {"distortion": distortion, **rates(rate), "penalty": penalty, "objective": value}
        step = self.step - len(last) + skipped.index(True) + 1
        stop_at({**named, "gradient": math.nan}, step, self.history.rows)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Puts the averaged weights in the model for a while."""
        weights, shadow = self.take.weights, self.take.shadow

        def swap() -> None:
            for p, s in zip(weights, shadow, strict=True):
                kept = p.clone()
                p.copy_(s)
                s.copy_(kept)

        if not shadow:
            yield
            return
        swap()
        try:
            with settled(self.recipe, self.train, self.config.seed, self.batch_size):
                yield
        finally:
            swap()

    def _validate(self) -> Row:
        parts, name = torch.cat(self.seen), selector(self.recipe).name
        good = torch.isfinite(parts).all(1)
        means = parts[good, :-1].cpu().double().sum(0) / (max(1, int(good.sum())) * self.batch_size)
        self._agree()
        self.recipe.model.eval()
        with self._averaged():
            seed = mix_seed(self.config.seed, 3)
            found = validate(self.recipe, self.valid, seed, max(self.batch_size, 500)).tolist()
            ends = {"distortion": found[1], **rates(found[2:]), name: found[0]}
            named = {f"validation {term}": value for term, value in ends.items()}
            stop_at(named, self.step, self.history.rows)
            worthy = worth(self.recipe, self.config.select, found)
            score = (-missed(self.recipe.objective, means), worthy)
            if better := score > self.best:
                self.best_state = snapshot(self.recipe)
                self.best, self.waited = score, 0
            else:
                self.waited += 1
        value, distortion, penalty, *rate = means.tolist()
        return Row(
            epoch=len(self.history.rows) + 1,
            step=self.step,
            seconds=round(self.seconds(), 3),
            learning_rate=self.rate,
            objective=value,
            distortion=distortion,
            rate=tuple(rate),
            penalty=penalty,
            valid_elbo=found[0],
            valid_distortion=found[1],
            valid_rate=tuple(found[2:]),
            best=better,
            skipped=sum(int(s[0, -1]) for s in self.seen),
        )

    def _save(self) -> None:
        """Writes the state as it is between two steps."""
        if self.path is not None and ranks.lead():
            self.saved = time.monotonic()
            try:
                save_state(self.path, self.state())
            except DiaboloError as error:  # a full disk: it may have room again later
                if not self.unsaved:
                    self.say(f"{error} Training goes on; the checkpoint before it stays.")
                self.unsaved = True
            else:
                if self.unsaved:
                    self.say("Checkpoints can be written again.")
                self.unsaved = False

    def state(self) -> dict[str, Any]:
        """Everything that training goes on from; noise and order follow from seed and step."""
        return {
            "config": asdict(self.config),
            "computing": self.history.computing,
            **states(self.recipe),
            **self.take.state(),
            "best": self.best,
            "best_state": self.best_state["model"],
            "best_objective": self.best_state["objective"],
            "step": self.step,
            "position": self.position,
            "seen": list(self.seen),
            "recent": list(self.recent),
            "waited": self.waited,
            "rate": self.rate,
            "seconds": self.seconds(),
            "rows": [asdict(r) for r in self.history.rows],
        }

    def load(self, state: dict[str, Any]) -> None:
        may_go_on(self.config, state)
        try:
            restore(self.recipe, state["model"], state["objective"])
            self.take.load(state)
        except (RuntimeError, ValueError):
            raise DiaboloError(
                "The checkpoint is of another model: resume with the recipe and the options "
                "that the training began with."
            ) from None
        told = other_bits(state["computing"], self.history.computing)
        if told is not None:
            self.say(told)
        kept = state.get("best_objective", state["objective"])  # former states have none
        self.best_state = {"model": state["best_state"], "objective": kept}
        self.best = state["best"]
        self.step, self.waited, self.before = state["step"], state["waited"], state["seconds"]
        self.position, self.rate = state["position"], state["rate"]
        self.seen = [s.to(self.device) for s in state["seen"]]
        self.recent = [s.to(self.device) for s in state["recent"]]
        self.history.rows = [Row.of(r) for r in state["rows"]]
