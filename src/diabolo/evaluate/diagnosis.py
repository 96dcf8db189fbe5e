"""What is wrong with a latent, if anything, in numbers and in plain words.

Shapes: N data, D latent elements of all groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import Data
from ..errors import DiaboloError
from ..model import LatentModel
from .aggregate import AggregatePosterior, aggregate_posterior
from .ascent import STEP
from .bounds import Bound, bound, element_rates
from .calibration import Calibration, pit, posterior_ranks
from .dependence import exchange, slopes
from .estimate import Estimate, finite
from .passes import Precision, Progress, some
from .quantity import Quantity, nats
from .refinement import refine
from .reliability import Reliability, reliability
from .units import ActiveUnits, active_units
from .verdict import RATE, Finding, verdict

__all__ = ["Diagnosis", "Section", "diagnose", "diagnosed"]

MOST = 2000  # data of which every pair is looked at: seconds on two cores
MOST_SLOPES = 256  # data whose Jacobians are averaged
MOST_REFINED = 100  # data whose posteriors are refined: seconds for a dense network
SIMULATED = 1000  # data that the model makes up, to calibrate q on them
CLIMB, DRAWN = 200, 500  # steps of each, and samples of its bounds
RANKED = 99  # draws of the model for each datum, to calibrate it


class Section(NamedTuple):
    """Some results that belong together.

    Attributes:
        title: What they are of.
        rows: The lines of a table.
        notes: Sentences on what to be careful with.
        json: The same as numbers, strings, lists and dictionaries.
    """

    title: str
    rows: tuple[Quantity, ...]
    notes: tuple[str, ...]
    json: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How the latent of a model is used, and what follows from it.

    Arguments:
        groups: The number of latent elements in each group.
        rate: The rate of each element in nats, (D,) float64; NaN where it does not split.
        sensitivity: How far the mean of p(x | z) moves with each, (D,) float64; NaN where that
            has no meaning.
        units: The active elements.
        sections: Everything else, by title.
        verdict: What is found, the gravest first.
    """

    groups: tuple[int, ...]
    rate: Tensor
    sensitivity: Tensor
    units: ActiveUnits
    sections: tuple[Section, ...]
    verdict: tuple[Finding, ...]

    @property
    def order(self) -> list[int]:
        """The elements by rate, or else by sensitivity, the largest first."""
        key = self.sensitivity if bool(self.rate.isnan().all()) else self.rate
        return key.nan_to_num(nan=-math.inf).argsort(descending=True, stable=True).tolist()

    @property
    def active(self) -> list[bool]:
        """Whether each element is active."""
        pairs = zip(self.units.variance, self.units.information, strict=True)
        least = self.units.threshold
        return torch.cat([(v > least) | (i > least) for v, i in pairs]).tolist()

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        return {
            "groups": list(self.groups),
            "rate_elements": [finite(v) for v in self.rate.tolist()],
            "sensitivity": [finite(v) for v in self.sensitivity.tolist()],
            "active": self.active,
            "sections": {s.title: {**s.json, "notes": list(s.notes)} for s in self.sections},
            "verdict": [f._asdict() for f in self.verdict],
        }


def diagnose(
    model: LatentModel,
    data: Data,
    *,
    seed: int = 0,
    samples: int = 8,
    most: int = MOST,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Diagnosis:
    """Returns how the latent is used, what q is worth, and a verdict.

    That is rates, slopes, the aggregate posterior, what encoder and family of q lose of the bound
    (`refine`, of some data), and how calibrated q, the model and its bits are (`posterior_ranks`,
    `pit`, `reliability`). What does not exist for a model is told in a sentence.

    Arguments:
        model: The model.
        data: The data, two at least.
        seed: Keys samples, and which data are looked at in pairs.
        samples: Posterior samples of the bound for each datum.
        most: How many data to look at in pairs, at most: that takes a time of their square.
        precision: The type in which networks compute, but for slopes and aggregate posterior.
        progress: Called with the part that is done, from 0 to 1, by what takes longest.

    Raises:
        DiaboloError: If there are fewer than two data, or they do not fit the model.
    """
    parts = None
    if not model.deterministic:
        parts = bound(model, data, seed=seed, samples=samples, precision=precision)
    units = active_units(model, data, precision=precision)
    facts: dict[str, Any] = {"seed": seed, "samples": samples, "precision": precision}
    return diagnosed(model, data, parts, units, most=most, progress=progress, **facts)


def diagnosed(
    model: LatentModel,
    data: Data,
    parts: Bound | None,
    units: ActiveUnits,
    *,
    seed: int = 0,
    samples: int = 8,
    most: int = MOST,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Diagnosis:
    """As `diagnose`, where the bound and the active units are known already."""
    if most < 2:
        raise DiaboloError(f"most is the number of data that are looked at in pairs, not {most}.")
    paired, near = some(data, most, seed), some(data, MOST_REFINED, seed)
    # Passes of the decoder, of which the rest has few.
    climb, ranked = len(near) * (STEP * CLIMB + 2 * DRAWN), len(paired) * RANKED
    part = climb / (climb + ranked)

    def tell(done: float) -> None:
        if progress is not None:
            progress(done)

    tell(0.0)
    rate, rates = _rates(model, parts, units)
    slope, decoder, rise = _decoder(model, data, paired, seed, samples, precision)
    aggregate: AggregatePosterior | None = None
    rows: tuple[Quantity, ...] = ()
    json: dict[str, Any] = {}
    try:
        aggregate = aggregate_posterior(model, paired, seed=seed)
        rows, notes, json = tuple(aggregate.rows()), aggregate.notes, aggregate.to_json()
    except DiaboloError as error:
        notes = (str(error),)
    if len(paired) < len(data):
        notes = (*notes, f"It is that of {len(paired)} of the {len(data)} data, drawn by row.")
    posterior = Section("The codes of all data together", rows, notes, json)
    found = verdict(parts, rate, rise, aggregate)
    inference = _inference(model, near, len(data), seed, precision, lambda d: tell(part * d))
    meaning = _meaning(model, paired, seed, precision, lambda d: tell(part + (1 - part) * d))
    tell(1.0)
    sections = (rates, decoder, posterior, inference, meaning)
    return Diagnosis(tuple(model.groups), rate, slope, units, sections, found)


def _rates(model: LatentModel, parts: Bound | None, units: ActiveUnits) -> tuple[Tensor, Section]:
    """Returns the rate of each element, (D,), and what is told of rates."""
    title = "What the code costs"
    count = Quantity("active units", units.count, "", None, None, units.how)
    rate = element_rates(model, parts)
    if parts is None:
        note = "A deterministic code is a point: it has no rate."
        return rate, Section(title, (count,), (note,), {"active": units.count})
    several = len(model.groups) > 1
    rows = [
        nats(f"rate of group {g}" if several else "rate", r) for g, r in enumerate(parts.rate, 1)
    ]
    known = rate[~rate.isnan()]
    if len(known):
        used = int((known > RATE).sum())
        apart = "" if len(known) == len(rate) else " whose rate is known apart"
        how = f"of {len(known)}{apart}: mean rate above {RATE:g} nats"
        rows.append(Quantity("used elements", used, "", None, None, how))
    whole = [g for g, e in enumerate(parts.rate_elements, 1) if e is None]
    which = f"group {', '.join(map(str, whole))}" if several else "this latent"
    note = f"The rate of {which} does not split into elements: it has no such closed form."
    json = {r.name: {"value": finite(r.value), "how": r.how} for r in rows}
    return rate, Section(title, (*rows, count), (note,) if whole else (), json)


def _inference(
    model: LatentModel, data: Data, n: int, seed: int, precision: Precision, progress: Progress
) -> Section:
    """Returns what the encoder and the family of q lose of the bound, of some of n data."""
    title = "What q loses of the bound"
    try:
        facts: dict[str, Any] = {"seed": seed, "precision": precision, "progress": progress}
        found = refine(model, data, steps=CLIMB, k=DRAWN, **facts)
    except DiaboloError as error:
        return Section(title, (), (str(error),), {})
    notes = found.notes
    if len(data) < n:
        notes = (*notes, f"It is that of {len(data)} of the {n} data, drawn by row.")
    return Section(title, tuple(found.rows()), notes, found.to_json())


def _meaning(
    model: LatentModel, data: Data, seed: int, precision: Precision, progress: Progress
) -> Section:
    """Returns whether the probabilities of q and of the model mean what they say."""
    c = None if model.classifies else data.c
    if c is not None:
        c = c[torch.arange(SIMULATED, device=c.device) % len(c)]
    facts: dict[str, Any] = {"seed": seed, "precision": precision}
    asked: dict[str, Callable[[], Calibration | Reliability]] = {
        "posterior_ranks": lambda: posterior_ranks(model, SIMULATED, c, **facts),
        "pit": lambda: pit(model, data, draws=RANKED, progress=progress, **facts),
    }
    if data.support == "binary":
        asked["reliability"] = lambda: reliability(model, data, **facts)
    rows: list[Quantity] = []
    notes: list[str] = []
    json: dict[str, Any] = {}
    for name, ask in asked.items():
        try:
            found = ask()
        except DiaboloError as error:
            notes.append(str(error))
            continue
        rows += found.rows()
        notes += found.notes
        json[name] = found.to_json()
    title = "What the probabilities are worth"
    return Section(title, tuple(rows), tuple(dict.fromkeys(notes)), json)


def _decoder(
    model: LatentModel, data: Data, paired: Data, seed: int, samples: int, precision: Precision
) -> tuple[Tensor, Section, Estimate]:
    """Returns the slope of each element, (D,), what is told of the decoder, and the exchange."""
    title = "What the decoder makes of it"
    notes: list[str] = []
    rise = exchange(model, paired, seed=seed, samples=samples, precision=precision)
    rows = [nats("exchange of codes", rise)]
    json: dict[str, Any] = {"exchange": rise.to_json()}
    near = some(data, MOST_SLOPES, seed)
    try:
        found = slopes(model, near, seed=seed)
    except DiaboloError as error:
        notes.append(f"The decoder's slopes are not known: {error}")
        unknown = torch.full((sum(model.groups),), torch.nan, dtype=torch.float64)
        return unknown, Section(title, tuple(rows), tuple(notes), json), rise
    known = (~found.mean.isnan()).nonzero()[:, 0]
    if len(known):
        how = f"of the mean of p(x|z) with one element, length of df/dz_j over {len(near)} data"
        order = known[found.mean[known].argsort()].tolist()
        for name, j in (("largest slope", order[-1]), ("least slope", order[0])):
            value, stderr = float(found.mean[j]), finite(float(found.data_stderr[j]))
            rows.append(Quantity(name, value, "x per z", None, stderr, how))
    if bool(torch.tensor(model.levels).any()):
        notes.append("A step of a discrete element has no length, so that it has no slope.")
    continuous = torch.tensor(model.levels) == 0
    if bool(found.mean[continuous].isnan().any()):
        notes.append("A group without slopes reaches the decoder through another group only.")
    return found.mean, Section(title, tuple(rows), tuple(notes), json), rise
