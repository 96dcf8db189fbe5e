"""Whether a model has learned its training data by heart: how near to them its samples are.

Samples that are as far from the training data as other data of the same law are not copies.

Shapes: N data, M samples, T training data, D numbers of a datum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import DiaboloError
from ..quantity import Quantity
from .comparison import Comparison, ratio

__all__ = ["Nearest", "Pair", "nearest_training"]

RARE = 0.01  # the part of the data that lies nearer to a training datum than a copy would
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
        distance: What counts as so near.
        pairs: The closest pairs.
    """

    ratio: Comparison
    copies: int
    distance: float
    pairs: tuple[Pair, ...]

    @property
    def expected(self) -> float:
        """How many copies there are if samples have the law of the data."""
        return RARE * self.ratio.m

    def rows(self) -> list[Quantity]:
        """Returns the table."""
        closest = ", ".join(f"sample {p.sample} and row {p.row}" for p in self.pairs[:3])
        how = f"of {self.ratio.m} samples, nearer to a training datum than {1 - RARE:.0%} of the "
        how += f"test data; {self.expected:.3g} for the same law; the closest: {closest}"
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
    n, asked = len(data), torch.cat([data, samples]).float()
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
    other, own = found[:n], found[n:]
    near_enough = float(other.quantile(RARE))
    order = own.argsort()[:SHOWN].tolist()
    pairs = tuple(Pair(i, int(row[n + i]), float(own[i])) for i in order)
    kind = f"mean distance of {len(own)} samples to the nearest of {seen} training data, divided "
    kind += f"by that of {n} test data"
    copies = int((own < near_enough).sum())
    return Nearest(ratio(own, other, kind=kind), copies, near_enough, pairs)
