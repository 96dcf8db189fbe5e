r"""The points of a rate-distortion curve, and what is to be said of how they lie.

The best distortion at each rate is a convex function with the slope -beta where a training pays
beta for a nat of rate (Alemi et al., 2018). So each point has to win at its own price,

.. math:: D_i + \beta_i R_i \le D_j + \beta_i R_j \quad\text{for all } j,

and with that lies on the lower convex hull, and between two points a nat of rate buys a number of
nats of distortion that is between their prices. All points are measured on the same data with the
same noise, and are compared datum by datum.

Shapes: N data.

References:
    | Fixing a Broken ELBO (Alemi et al., 2018), https://arxiv.org/abs/1711.00464
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from ..errors import DiaboloError
from ..evaluate import Bound, Estimate, LinearOptimum
from ..run import Run, load

__all__ = ["Excess", "Exchange", "Point", "Shortfall", "Tradeoff", "judged", "lower_hull"]

SURE = 3.0  # standard errors from which on a difference is told


class Shortfall(NamedTuple):
    """How far a point is behind another at its own price.

    Attributes:
        nats: D + beta R of the point less that of the other, in nats.
        stderr: Its standard error over data.
        by: The other point's value of the option.
    """

    nats: float
    stderr: float
    by: float


class Excess(NamedTuple):
    """How far a point is above the lower convex hull of the others.

    Attributes:
        nats: Its distortion less that of the hull at its rate.
        stderr: Its standard error over data.
    """

    nats: float
    stderr: float


class Exchange(NamedTuple):
    """How many nats of distortion one nat of rate buys between a point and the next.

    Attributes:
        price: -(D' - D) / (R' - R).
        stderr: Its standard error over data.
        within: Whether it lies between the prices of the two points, give or take three standard
            errors; None where the prices or the error are not known.
    """

    price: float
    stderr: float
    within: bool | None


@dataclass(frozen=True, eq=False)
class Point:
    """One training, and where it lies.

    Attributes:
        value: What the option was.
        price: The price of a nat of rate that was trained with, or found; None where there is
            none that the slope has to be.
        bound: Rate, distortion and ELBO of the measured data.
        rate: The rate of all groups together.
        units: The active latent elements; None of one datum, which cannot tell.
        folder: The run.
        stopped: Why its training ended, as in `History`.
        excess: How far a mixture of other points is better at its rate; None on the lower hull.
        shortfall: How far another point is better at its own price; None if none is surely.
        exchange: What a nat of rate buys up to the next point of more rate; None for the last.
        theory: Where the best linear-Gaussian model lies, where that is known.
    """

    value: float
    price: float | None
    bound: Bound
    rate: Estimate
    units: int | None
    folder: Path
    stopped: str
    excess: Excess | None = None
    shortfall: Shortfall | None = None
    exchange: Exchange | None = None
    theory: LinearOptimum | None = None

    @property
    def distortion(self) -> Estimate:
        """-log p(x|z)."""
        return self.bound.distortion

    @property
    def elbo(self) -> Estimate:
        """The evidence lower bound."""
        return self.bound.elbo

    @property
    def hull(self) -> bool:
        """Whether it is on the lower convex hull: no mixture of other points is better."""
        return self.excess is None

    @property
    def beaten(self) -> bool:
        """Whether another point, or a mixture of others, is surely better."""
        above = self.excess is not None and self.excess.nats > SURE * self.excess.stderr
        return above or self.shortfall is not None

    def cost(self, price: float) -> Tensor:
        """Returns D + beta R of each datum at a price, (N,)."""
        return self.distortion.per_datum + price * self.rate.per_datum

    def run(self) -> Run:
        """Returns the run."""
        return load(self.folder)

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers, strings and lists of it."""
        return {
            "value": self.value,
            "price": self.price,
            "rate": self.rate.to_json(),
            "distortion": self.distortion.to_json(),
            "elbo": self.elbo.to_json(),
            "active_units": self.units,
            "hull": self.hull,
            "excess": None if self.excess is None else self.excess._asdict(),
            "shortfall": None if self.shortfall is None else self.shortfall._asdict(),
            "exchange": None if self.exchange is None else self.exchange._asdict(),
            "theory": None
            if self.theory is None
            else {**self.theory._asdict(), "elbo": self.theory.elbo},
            "folder": self.folder.name,
            "stopped": self.stopped,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Tradeoff:
    """A rate-distortion curve, from the least rate to the greatest.

    Attributes:
        folder: Where it lies; each point is a run in it.
        recipe: What was trained.
        option: What differs from point to point.
        points: The points that were trained.
        split: What they were measured on: `test` or `valid`.
        theory: The curve of the best linear-Gaussian models, where that is known, over more prices.
        failed: Values that could not be trained, and why.
        stopped: Why it ended: `points`, `interrupt` (Ctrl-C) or `terminate` (SIGTERM).
    """

    folder: Path
    recipe: str
    option: str
    points: tuple[Point, ...]
    split: str
    theory: tuple[LinearOptimum, ...] = ()
    failed: dict[float, str] = field(default_factory=dict)
    stopped: Literal["points", "interrupt", "terminate"] = "points"

    @property
    def best(self) -> Point:
        """The point with the best ELBO.

        Raises:
            DiaboloError: If there is none.
        """
        if not self.points:
            raise DiaboloError("No point of this curve was trained, so none is the best.")
        return max(self.points, key=lambda p: p.elbo.value)

    @property
    def n(self) -> int:
        """The number of data that were measured."""
        return self.points[0].rate.n if self.points else 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on points that are not where they have to be."""
        told = []
        for p in self.points:
            name = f"{self.option}={p.value:g}"
            if p.shortfall is not None:
                told.append(
                    f"At {name} another point does better: at the price {p.price:g} of this one, "
                    f"that of {self.option}={p.shortfall.by:g} costs {p.shortfall.nats:.2f} nats "
                    f"less (standard error {p.shortfall.stderr:.2f}). Training failed there, or "
                    "fitted the training data too well."
                )
            elif p.excess is not None and p.beaten:
                told.append(
                    f"{name} lies above the lower convex hull of the curve: a mixture of other "
                    f"points has {p.excess.nats:.2f} nats less distortion at its rate (standard "
                    f"error {p.excess.stderr:.2f})."
                )
        return tuple(told)

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        return {
            "folder": str(self.folder),
            "recipe": self.recipe,
            "option": self.option,
            "split": self.split,
            "n": self.n,
            "stopped": self.stopped,
            "best": self.best.value if self.points else None,
            "points": [p.to_json() for p in self.points],
            "theory": [{**t._asdict(), "elbo": t.elbo} for t in self.theory],
            "failed": {f"{v:g}": why for v, why in self.failed.items()},
            "warnings": list(self.warnings),
        }


def judged(points: Sequence[Point]) -> tuple[Point, ...]:
    """Returns the points by their rate, with what is to be said of how they lie."""
    points = sorted(points, key=lambda p: p.rate.value)
    hull = lower_hull([(p.rate.value, p.distortion.value) for p in points])
    after = [*points[1:], None]
    return tuple(
        replace(
            p,
            excess=None if i in hull else _excess(i, points, hull),
            shortfall=_shortfall(p, points),
            exchange=None if q is None else _exchange(p, q),
        )
        for i, (p, q) in enumerate(zip(points, after, strict=True))
    )


def lower_hull(points: Sequence[tuple[float, float]]) -> list[int]:
    """Returns the positions of the points (R, D), by rising R, that no mixture of others beats.

    More rate for more distortion is beaten too, so that the hull falls.

    References:
        | Another Efficient Algorithm for Convex Hulls in Two Dimensions (Andrew, 1979)

    Example:
        >>> lower_hull([(0, 10), (1, 6), (2, 5), (3, 2), (4, 3)])
        [0, 1, 3]
    """
    kept: list[int] = []
    for i, (rate, distortion) in enumerate(points):
        if kept and distortion >= points[kept[-1]][1]:
            continue
        while len(kept) > 1:
            (r0, d0), (r1, d1) = points[kept[-2]], points[kept[-1]]
            if (d1 - d0) * (rate - r0) < (distortion - d0) * (r1 - r0):
                break
            kept.pop()
        kept.append(i)
    return kept


def _excess(i: int, points: Sequence[Point], hull: Sequence[int]) -> Excess:
    """Returns how far a point is above the chord between the points of the hull beside it.

    The chord's own error is that of its ends: at its slope, to first order, only the mean of
    D + slope R counts, each datum's by itself.
    """
    p, a = points[i], points[max(j for j in hull if j < i)]
    b = points[min((j for j in hull if j > i), default=hull[-1])]
    span = b.rate.value - a.rate.value
    if span > 0:
        part = (p.rate.value - a.rate.value) / span
        slope = (a.distortion.value - b.distortion.value) / span
    else:  # beyond the hull, where less rate has less distortion too
        part, slope = 1.0, 0.0
    above = p.cost(slope) - (1 - part) * a.cost(slope) - part * b.cost(slope)
    return Excess(float(above.mean()), _stderr(above))


def _shortfall(p: Point, others: Sequence[Point]) -> Shortfall | None:
    """Returns how far the best other point is better at the price of this one, if that is sure."""
    if p.price is None:
        return None
    found = []
    for q in others:
        saved = p.cost(p.price) - q.cost(p.price)
        error = _stderr(saved)
        if q is not p and float(saved.mean()) > SURE * error:
            found.append(Shortfall(float(saved.mean()), error, q.value))
    return max(found, default=None)


def _exchange(p: Point, q: Point) -> Exchange | None:
    """Returns what a nat of rate buys between two points; None if they have the same rate."""
    rate = q.rate.per_datum - p.rate.per_datum
    distortion = q.distortion.per_datum - p.distortion.per_datum
    step = float(rate.mean())
    if step <= 0:
        return None
    price = -float(distortion.mean()) / step
    error = _stderr(distortion + price * rate) / step  # of a ratio of means, to first order
    if p.price is None or q.price is None or not math.isfinite(error):
        return Exchange(price, error, None)
    low, high = sorted((p.price, q.price))
    return Exchange(price, error, low - SURE * error <= price <= high + SURE * error)


def _stderr(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
