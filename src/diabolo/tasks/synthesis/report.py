"""The report on synthetic rows: beside fresh real rows, a Gaussian copula and independent columns.

Shapes: n rows, D columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from ...errors import DiaboloError
from ...evaluate.estimate import finite
from ...evaluate.samples import Nearest, TwoSampleTest, nearest_training, two_sample_test
from .baselines import BASELINES
from .coded import Coded, Distances, holes_of
from .fidelity import dependence, marginals, utility
from .leakage import Membership, membership

__all__ = ["Judged", "SynthesisReport", "judge"]

MOST = 10_000  # rows that are compared
ASKED = 2_000  # rows whose nearest neighbours are looked for
REAL = "training rows"


class Judged(NamedTuple):
    """What was found of the rows of one sampler.

    Attributes:
        name: Whose rows.
        columns: The distance of each column, (D,).
        dependence: The mean absolute difference of the dependence of pairs of columns; NaN where
            no pair is known.
        two_sample: Whether a classifier tells them from real rows.
        utility: The score on real rows of what was learned of them; None without a target.
        gain: How far that lies above the score of what was learned of real rows.
        gain_stderr: The standard error of that difference, over the test rows.
        nearest: How near they are to training rows; None for training rows themselves.
        membership: What they tell of who was learned; None likewise.
    """

    name: str
    columns: tuple[float, ...]
    dependence: float
    two_sample: TwoSampleTest
    utility: float | None
    gain: float | None
    gain_stderr: float | None
    nearest: Nearest | None
    membership: Membership | None

    @property
    def marginal(self) -> float:
        """The mean distance of a column."""
        return float(np.nanmean(self.columns))

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        beside: dict[str, Any] = {}
        if self.nearest is not None and self.membership is not None:
            beside["nearest"] = self.nearest.to_json()
            beside["membership"] = self.membership._asdict()
        return {
            "name": self.name,
            "columns": [finite(v) for v in self.columns],
            "marginal": finite(self.marginal),
            "dependence": finite(self.dependence),
            "two_sample": self.two_sample.to_json(),
            "utility": self.utility,
            "utility_gain": self.gain,
            "utility_gain_stderr": self.gain_stderr,
            **beside,
        }


@dataclass(frozen=True, eq=False)
class SynthesisReport:
    """How like real rows synthetic rows are, and what they give away.

    Arguments:
        judged: The model's rows, then what they are compared with.
        names: The names of the columns.
        target: The column that was foretold; None for none.
        n: The number of real rows that were held out.
        m: The number of synthetic rows.
        seed: What keyed the draws.
        notes: Sentences on how it was found.
    """

    judged: tuple[Judged, ...]
    names: tuple[str, ...]
    target: str | None
    n: int
    m: int
    seed: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Judged:
        """Returns what was found of one sampler's rows."""
        return {j.name: j for j in self.judged}[name]

    def worst(self, name: str) -> tuple[str, float]:
        """Returns the column of a sampler's rows that is farthest from real ones."""
        columns = self[name].columns
        j = int(np.nanargmax(columns))
        return self.names[j], columns[j]

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        return {
            "judged": [j.to_json() for j in self.judged],
            "columns": list(self.names),
            "target": self.target,
            "n": self.n,
            "m": self.m,
            "seed": self.seed,
            "notes": list(self.notes),
        }


def judge(
    samplers: dict[str, Callable[[int, np.random.Generator], Coded]],
    train: Coded,
    test: Coded,
    *,
    target: str | None = None,
    seed: int = 0,
    baselines: bool = True,
) -> SynthesisReport:
    """Returns how the rows of samplers stand beside real rows and those of the baselines.

    Each sampler gives as many rows as there are training rows, 10,000 at most. Where real rows
    have holes, synthetic ones get those of rows drawn at random.

    Arguments:
        samplers: Functions that draw n rows, by name.
        train: The rows that were learned.
        test: Real rows that were not, 40 at least.
        target: A column to foretell.
        seed: Draws rows, and seeds the classifiers.
        baselines: Whether to add the Gaussian copula and independent columns.

    Raises:
        DiaboloError: If there are too few rows or no such column.
    """
    if min(len(train), len(test)) < 40:
        raise DiaboloError(
            f"A report needs 40 training rows and 40 others, but got {len(train)} and {len(test)}: "
            "fit the run with a larger part held out, such as valid=0.3."
        )
    generator = np.random.default_rng(seed)
    m = min(len(train), MOST)
    every = dict(samplers)
    if baselines:
        every |= {name: fit(train) for name, fit in BASELINES.items()}
    some, asked = train.drawn(m, generator), test.drawn(MOST, generator)
    drawn = {
        name: holes_of(sample(m, np.random.default_rng([seed, i])), train, generator)
        for i, (name, sample) in enumerate(every.items())
    }
    near = Distances(train)
    members, others = (near(rows.drawn(ASKED, generator)) for rows in (train, test))
    whole, held = _points(near(train)), _points(near(asked))
    real = dependence(asked)
    best = None if target is None else utility(some, asked, target, seed)
    judged = []
    for name, rows in {**drawn, REAL: some}.items():
        own = name == REAL
        learned = None if target is None else best if own else utility(rows, asked, target, seed)
        gain = stderr = None
        if learned is not None and best is not None and not own:
            apart = learned.each - best.each
            gain, stderr = float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))
        gap = np.abs(real - dependence(rows))
        points = near(rows)
        judged.append(
            Judged(
                name=name,
                columns=tuple(marginals(asked, rows).tolist()),
                dependence=float(np.nanmean(gap)) if np.isfinite(gap).any() else math.nan,
                two_sample=two_sample_test(held, _points(points), seed=seed),
                utility=None if learned is None else learned.score,
                gain=gain,
                gain_stderr=stderr,
                nearest=None
                if own
                else nearest_training(
                    _points(others),
                    _points(near(rows.drawn(ASKED, generator))),
                    [(whole, torch.arange(len(whole)))],
                ),
                membership=None if own else membership(members, others, points),
            )
        )
    return SynthesisReport(tuple(judged), train.names, target, len(asked), m, seed, _notes(train))


def _points(x: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def _notes(train: Coded) -> tuple[str, ...]:
    notes = [
        "Of one law, columns and pairs are as far apart as training rows are, the two-sample "
        "accuracy is 0.5, the distance to training 1 and the membership AUC 0.5.",
    ]
    if np.isnan(train.x).any():
        notes.append("Synthetic rows were given the holes of training rows for the comparison.")
    return tuple(notes)
