"""A rate-distortion curve: one ordinary training for each price of the rate, or for each rate.

References:
    | Fixing a Broken ELBO (Alemi et al., 2018), https://arxiv.org/abs/1711.00464
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ..config import RunConfig
from ..data import Data
from ..errors import DiaboloError
from ..evaluate import (
    LinearOptima,
    LinearOptimum,
    active_units,
    bound,
    linear_optima,
)
from ..model import Recipe
from ..objectives import Schedule, price
from ..registry import keywords
from ..run import Interrupted, Run, load
from ..run.asked import held_out
from ..run.fit import plan
from ..run.folder import is_run, left
from ..run.menu import find
from ..signals import Terminated
from ..train import Diverged, Row
from .curve import Point, Tradeoff, judged
from .folder import claim, contents, publish, train

__all__ = ["tradeoff"]

FACTS = "curve.json"
TARGETS = ("target", "capacity")  # options that name a rate to end at
FINE = 100  # prices at which the theory is drawn

Told = str | RunConfig | Row | Point


def tradeoff(
    data: Any,
    recipe: str | Callable[..., Recipe] | None = None,
    *,
    out: str | Path,
    prices: Sequence[float] | None = None,
    rates: Sequence[float] | None = None,
    warm: bool = False,
    samples: int = 8,
    resume: bool = False,
    progress: Callable[[Told], object] | None = None,
    labels: Any = None,
    condition: Any = None,
    valid: Any = None,
    test: Any = None,
    **options: Any,
) -> Tradeoff:
    """Traces the rate-distortion curve of a model: a run for each price of the rate.

    Each point is measured on the test data, or else on the validation data. Its weights are
    selected at its own price (`TrainConfig.select`), not by the ELBO. For linear-Gaussian
    models the best that there is at each price stands beside it (`evaluate.linear_optima`).

    Arguments:
        data: As for `fit`.
        recipe: As for `fit`: one with the option `beta` that prices the rate, None takes
            `beta_vae`; with `rates` one that aims at a rate, None takes `geco`.
        out: The folder of the curve; each point is a run in it.
        prices: The prices beta of a nat of rate.
        rates: Rates in nats to end at, instead.
        warm: Begin each training with the weights of the one before: from the least price to
            the greatest, or from the greatest rate to the least.
        samples: Posterior samples of each datum for the measured distortion.
        resume: Go on with the curve in the folder, also with further prices; points that are
            done are not done again. All data have to be the same.
        progress: Called with each note (a string), with what `fit` tells, and with each point.
        labels: As for `fit`, likewise the next three.
        condition: What a conditional model reads.
        valid: The data for validation.
        test: The data on which points are measured.
        options: Options that are the same for every point, as for `fit`.

    Returns:
        The curve. Ctrl-C and SIGTERM end it in order, with what there is.

    Raises:
        DiaboloError: At a mistake in data or options, before training; or if the folder holds
            something else.
    """
    folder = Path(out).resolve()
    values, option = _asked(recipe, prices, rates)
    for name in ("track", "force", "start"):
        if name in options:
            raise DiaboloError(f"A curve has many trainings: leave {name} out.")
    if option.rpartition(".")[2] in {n.rpartition(".")[2] for n in options}:
        raise DiaboloError(f"'{option}' is what differs from point to point: do not set it too.")
    recipe = recipe or ("beta_vae" if rates is None else "geco")
    if rates is None and not {"select", "train.select"} & set(options):
        options["select"] = "price"
    first = plan(data, recipe, labels, condition, valid, test, None, {**options, option: values[0]})
    run = first.run(first.read())
    _check(run.recipe, option, values[0], run.config.recipe, aims=rates is not None)
    facts = {
        "kind": "diabolo tradeoff",
        "recipe": run.config.recipe,
        "data": run.config.data.source,
        **contents(run),
        "option": option,
        "warm": warm,
        "options": {n: str(v) for n, v in sorted(options.items())},
    }
    claim(folder, FACTS, facts, "curve", resume=resume)
    given = {"labels": labels, "condition": condition, "valid": valid, "test": test, **options}
    split, measured = held_out(run)
    assert run.splits is not None
    work = _Work(
        folder=folder,
        data=data,
        recipe=recipe,
        options=given,
        option=option,
        facts=facts,
        split=split,
        measured=measured,
        optima=linear_optima(run.model, run.splits.train, measured),
        samples=samples,
        warm=warm,
        progress=progress or (lambda event: None),
    )
    return work.go(values)


def _asked(
    recipe: Any, prices: Sequence[float] | None, rates: Sequence[float] | None
) -> tuple[list[float], str]:
    """Returns the values in the order of training, and the option that takes them.

    Raises:
        DiaboloError: If they are no curve, or the recipe has no such option.
    """
    if (prices is None) == (rates is None):
        raise DiaboloError(
            "A curve needs prices of the rate, or rates to aim at: give one of them."
        )
    name, given = ("prices", prices) if rates is None else ("rates", rates)
    assert given is not None
    values = [float(v) for v in given]
    if any(not 0 < v < math.inf for v in values):
        raise DiaboloError(f"{name} are positive numbers, but got {', '.join(map(str, given))}.")
    if len({f"{v:g}" for v in values}) < max(2, len(values)):
        raise DiaboloError(f"A curve needs two different {name} or more, each once.")
    options = ("beta",) if rates is None else TARGETS
    known: Mapping[str, Any] = {}
    if recipe is not None:
        known = keywords(find(recipe) if isinstance(recipe, str) else recipe)
    option = next((o for o in options if o in known), options[0])
    if recipe is not None and option not in known:
        what = "prices the rate" if rates is None else "names a rate to aim at"
        use = "beta_vae" if rates is None else "geco or capacity_vae"
        raise DiaboloError(f"This recipe has no option that {what}: use {use}, or leave it out.")
    return sorted(values, reverse=rates is not None), option


def _check(recipe: Recipe, option: str, value: float, name: str, *, aims: bool) -> None:
    """Refuses a model without a rate, or an option that is something else.

    Raises:
        DiaboloError: Naming a recipe that will do.
    """
    objective = recipe.objective
    if recipe.model.deterministic:
        raise DiaboloError("A deterministic autoencoder pays no rate: use beta_vae.")
    aim = objective.aim if isinstance(objective, Schedule) else None
    if aims and (aim is None or aim.of != "rate" or aim.nats != value):
        raise DiaboloError(f"'{option}' of '{name}' as it is set is no rate: use geco.")
    if not aims and price(objective) != value:
        raise DiaboloError(
            f"'{option}' of '{name}' as it is set is not what a nat of rate costs: use beta_vae, "
            "without free bits."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Work:
    """One tracing of a curve; see `tradeoff` and `Tradeoff`."""

    folder: Path
    data: Any
    recipe: Any
    options: Mapping[str, Any]
    option: str
    facts: Mapping[str, Any]
    split: str
    measured: Data
    optima: LinearOptima | None
    samples: int
    warm: bool
    progress: Callable[[Told], object]

    def go(self, values: Sequence[float]) -> Tradeoff:
        """Trains and measures the points that are asked for."""
        points: list[Point] = []
        failed: dict[float, str] = {}
        before: Path | None = None
        said: set[str] = set()

        def listen(event: Any) -> None:
            if isinstance(event, str):
                if event in said:  # each training tells the same of the data
                    return
                said.add(event)
            self.progress(event)

        stopped: Literal["points", "interrupt", "terminate"] = "points"
        for value in values:
            place = self.folder / f"{self.option}={value:g}"
            try:
                run = self._run(place, value, before, listen)
            except Diverged as error:
                failed[value] = str(error)
                continue
            except KeyboardInterrupt as error:
                killed = isinstance(error, Terminated)
                killed = error.terminated if isinstance(error, Interrupted) else killed
                stopped = "terminate" if killed else "interrupt"
                break
            if run.history.stopped == "diverged":
                failed[value] = "Training diverged."
                continue
            points.append(self._measure(run, value))
            before = place
            self.progress(points[-1])
            self._publish(points, failed, "interrupt")
        return self._publish(points, failed, stopped)

    def _run(self, place: Path, value: float, before: Path | None, listen: Any) -> Run:
        """Returns the run of a point, trained if it is not there."""
        if is_run(place) and not left(place):
            return load(place, recipe=None if isinstance(self.recipe, str) else self.recipe)
        start = {"start": before} if self.warm else {}
        options = {**self.options, self.option: value, **start}
        return train(place, self.data, self.recipe, options, listen, self.progress)

    def _measure(self, run: Run, value: float) -> Point:
        """Returns where a run lies."""
        parts = bound(run.model, self.measured, samples=self.samples)
        assert run.folder is not None
        known = price(run.recipe.objective, now=True)
        units = active_units(run.model, self.measured) if len(self.measured) > 1 else None
        return Point(
            value=value,
            price=known,
            bound=parts,
            rate=parts.total_rate,
            units=None if units is None else units.count,
            folder=run.folder,
            stopped=run.history.stopped,
            theory=None if self.optima is None or known is None else self.optima.at(known),
        )

    def _publish(self, points: list[Point], failed: dict[float, str], stopped: Any) -> Tradeoff:
        """Writes what there is."""
        found = Tradeoff(
            folder=self.folder,
            recipe=self.facts["recipe"],
            option=self.option,
            points=judged(points),
            split=self.split,
            theory=self._theory(points),
            failed=failed,
            stopped=stopped,
        )
        publish(self.folder / FACTS, {**self.facts, "result": found.to_json()})
        return found

    def _theory(self, points: list[Point]) -> tuple[LinearOptimum, ...]:
        """Returns the curve of the best linear-Gaussian models, a little beyond the points."""
        known = [p.price for p in points if p.price is not None]
        if self.optima is None or not known:
            return ()
        low, high = math.log(min(known) / 2), math.log(max(known) * 2)
        grid = torch.linspace(low, high, FINE, dtype=torch.float64).exp().tolist()
        return tuple(self.optima.at(p) for p in grid)
