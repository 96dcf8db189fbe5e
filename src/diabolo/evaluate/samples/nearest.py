r"""Whether a model has learned its training data by heart: how near to them its samples are.

Samples that are as far from the training data as other data of the same law are not copies. As
near as the r nearest of N other data are, of M samples of one law, :math:`M r / (N + 1)`,
whatever that law is; and of the c + r that are so near together, any are as likely the samples.

Shapes: N data, M samples, T training data, D numbers of a datum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import DiaboloError
from ..quantity import Quantity
from .comparison import Comparison, ratio

__all__ = ["Nearest", "Pair", "closest", "nearest_training"]

RARE = 0.01  # the part of the data that lies as near to a training datum as a copy would
SHOWN = 5  # closest pairs


class Pair(NamedTuple):
    """A sample and the training datum that is nearest to it.

    Attributes:
        sample: The position of the sample.
        row: The row index of the training datum.
        distance: How far they are apart.
    """

    sample: int
    row: int
    distance: float


@dataclass(frozen=True)
class Nearest:
    """How near samples are to the training data.

    Arguments:
        ratio: The mean distance of a sample from the training data, divided by that of other data.
        copies: How many samples lie as near to a training datum as one in a hundred other data.
        others: How many of the other data lie so near, r; more than that where some are as near.
        distance: What counts as so near.
        pairs: The closest pairs.
    """

    ratio: Comparison
    copies: int
    others: int
    distance: float
    pairs: tuple[Pair, ...]

    @property
    def expected(self) -> float:
        """How many copies there are if samples have the law of the data."""
        return self.ratio.m * self.others / (self.ratio.n + 1)

    @property
    def p(self) -> float:
        """The probability of as many copies, or more, under one law; at most that, to be exact."""
        from scipy.stats import hypergeom

        n, m = self.ratio.n, self.ratio.m
        return float(hypergeom.sf(self.copies - 1, n + m, m, self.copies + self.others))

    def rows(self) -> list[Quantity]:
        """Returns the table."""
        closest = ", ".join(f"sample {p.sample} and row {p.row}" for p in self.pairs[:3])
        near = f"as near to training data as the {self.others} nearest of {self.ratio.n} test data"
        how = f"of {self.ratio.m} samples, {near}; {self.expected:.3g} for the same law; the "
        how += f"closest: {closest}"
        return [
            self.ratio.row("distance to training"),
            Quantity("near copies", self.copies, "", None, None, how),
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        return {
            "ratio": self.ratio.to_json(),
            "copies": self.copies,
            "copies_expected": self.expected,
            "copies_p": self.p,
            "copy_distance": self.distance,
            "pairs": [p._asdict() for p in self.pairs],
        }


def nearest_training(
    data: Tensor, samples: Tensor, train: Iterable[tuple[Tensor, Tensor]]
) -> Nearest:
    """Returns how near samples are to the training data, beside other data of the same law.

    Arguments:
        data: Data that were not trained on, (N, D).
        samples: Samples (M, D).
        train: The training data, in parts that fit the memory: numbers (B, D) and rows (B,).

    Raises:
        DiaboloError: If there are no training data, or their width differs.
    """
    n = len(data)
    row, found, seen = closest(torch.cat([data, samples]), train)
    other, own = found[:n], found[n:]
    # A datum's own distance, not one between two: only so the law of the copies is known.
    near_enough = float(other.sort().values[ceil(RARE * n) - 1])
    order = own.argsort()[:SHOWN].tolist()
    pairs = tuple(Pair(i, int(row[n + i]), float(own[i])) for i in order)
    kind = f"mean distance of {len(own)} samples to the nearest of {seen} training data, divided "
    kind += f"by that of {n} test data"
    copies, others = (int((t <= near_enough).sum()) for t in (own, other))
    return Nearest(ratio(own, other, kind=kind), copies, others, near_enough, pairs)


def closest(asked: Tensor, train: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, int]:
    """Returns the row of the training datum nearest to each, (A,), how far it is, and of how many.

    Arguments:
        asked: What to look for, (A, D).
        train: The training data, in parts that fit the memory: numbers (B, D) and rows (B,).

    Raises:
        DiaboloError: If there are no training data, or their width differs.
    """
    asked = asked.float()
    centre = asked.mean(0)  # squared distances keep their digits near 0
    moved = asked - centre
    best = torch.full((len(asked),), torch.inf)
    row = torch.zeros(len(asked), dtype=torch.int64)
    found = torch.empty(len(asked), dtype=torch.float64)
    seen = 0
    for part, rows in train:
        if part.shape[1:] != asked.shape[1:]:
            raise DiaboloError(
                f"Training data of {tuple(part.shape[1:])} numbers are not to be compared with "
                f"data of {tuple(asked.shape[1:])}."
            )
        near = part.float() - centre
        # Without |moved|^2, which is the same for all: products alone take time.
        square = torch.addmm(near.square().sum(1), moved, near.T, alpha=-2)
        least, place = square.min(1)
        closer = least < best
        best = torch.where(closer, least, best)
        row = torch.where(closer, rows.cpu()[place], row)
        # The distance itself from differences, so that that of a copy is 0.
        apart = (asked[closer].double() - part[place[closer]].double()).square().sum(1).sqrt()
        found[closer] = apart
        seen += len(part)
    if not seen:
        raise DiaboloError("There are no training data to be near to.")
    return row, found, seen
