r"""How much of the samples looks like data, and how much of the data the samples reach.

A set of points is thickened to balls, each as wide as the way to its k-th nearest neighbour:
:math:`B(X) = \bigcup_i B(x_i, r_k(x_i))`.

.. math::
    \text{precision} = \frac1M \sum_j 1[y_j \in B(X)], \quad
    \text{recall} = \frac1N \sum_i 1[x_i \in B(Y)],

    \text{density} = \frac1{kM} \sum_{ij} 1[y_j \in B(x_i, r_k(x_i))], \quad
    \text{coverage} = \frac1N \sum_i 1[\exists j: y_j \in B(x_i, r_k(x_i))]

Shapes: N data x, M samples y, D features.

References:
    | Improved Precision and Recall Metric for Assessing Generative Models
    | (Kynkaanniemi et al., 2019), eq. 1 and 2, https://arxiv.org/abs/1904.06991
    | Reliable Fidelity and Diversity Metrics for Generative Models (Naeem et al., 2020),
    | eq. 4 and 5, lemmas 1 and 2, https://arxiv.org/abs/2002.09797
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ...errors import DiaboloError
from ..quantity import Quantity
from .comparison import Comparison, points, stderr

__all__ = ["Manifolds", "manifolds"]

HELD = 2**22  # distances held at once: 32 MiB
SLACK = 1e-12  # of a squared distance, in squared lengths: what rounding leaves of equal points


@dataclass(frozen=True)
class Manifolds:
    """Four numbers from neighbours.

    Arguments:
        precision: The part of the samples that lies among data.
        recall: The part of the data that lies among samples.
        density: How often a sample lies in the ball of a datum, to how often a datum would.
        coverage: The part of the data with a sample in its ball.
    """

    precision: Comparison
    recall: Comparison
    density: Comparison
    coverage: Comparison

    def rows(self) -> list[Quantity]:
        """Returns the table."""
        return [getattr(self, f.name).row(f.name) for f in fields(self)]

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        return {f.name: getattr(self, f.name).to_json() for f in fields(self)}


def manifolds(data: Tensor, samples: Tensor, *, neighbours: int = 5) -> Manifolds:
    """Returns precision, recall, density and coverage of samples.

    The errors are those of means over samples (precision, density) or over data (recall,
    coverage), given the balls; what the choice of the other set adds is not known. Density and
    coverage of samples with the law of the data are known whatever that law is, if it is
    continuous.

    Arguments:
        data: Points (N, D).
        samples: Points (M, D), best as many.
        neighbours: Which neighbour gives a ball its radius, k.

    Raises:
        DiaboloError: If shapes differ, or there are too few points.
    """
    k = neighbours
    if k < 1:
        raise DiaboloError(f"neighbours is at least 1, but got {k}.")
    x, y = points(data, samples, least=k + 1)
    x_radius, y_radius = _radii(x, k), _radii(y, k)
    slack = SLACK * float(torch.cat([x, y]).square().sum(1).amax())
    hits, in_data = torch.zeros(len(y)), torch.zeros(len(y), dtype=torch.bool)
    in_samples, covered = (torch.zeros(len(x), dtype=torch.bool) for _ in range(2))
    for rows, square in _squares(x, y):
        inside = square <= x_radius[rows, None] + slack
        hits += inside.sum(0)
        in_data |= inside.any(0)
        covered[rows] = inside.any(1)
        in_samples[rows] = (square <= y_radius + slack).any(1)

    n, m = len(x), len(y)
    missed = 1.0  # by all M samples, each as likely to be among the k nearest as other data
    for i in range(k):
        missed *= (n - 1 - i) / (n - 1 + m - i)
    nearest = "nearest neighbour" if k == 1 else f"{k} nearest neighbours"
    datum, sample = (f"the ball that reaches the {nearest} of a {of}" for of in ("datum", "sample"))

    def over(values: Tensor, of: str, kind: str, same: float | None = None) -> Comparison:
        values = values.double()
        error = stderr(values)
        mc, of_data = (error, None) if of == "samples" else (None, error)
        return Comparison(float(values.mean()), mc, of_data, n, m, kind, same)

    return Manifolds(
        over(in_data, "samples", f"part of the samples in {datum}"),
        over(in_samples, "data", f"part of the data in {sample}"),
        over(hits / k, "samples", f"balls of data that a sample is in, divided by {k}", 1.0),
        over(covered, "data", f"part of the data with a sample in {datum}", 1 - missed),
    )


def _radii(x: Tensor, k: int) -> Tensor:
    """Returns the squared distance to the k-th nearest other point, (N,)."""
    found = torch.empty(len(x), dtype=x.dtype)
    for rows, square in _squares(x, x):
        square[torch.arange(len(square)), torch.arange(rows.start, rows.stop)] = torch.inf
        found[rows] = square.kthvalue(k, dim=1).values
    return found


def _squares(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields some rows of x and their squared distances from all y."""
    length, step = y.square().sum(1), max(1, HELD // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        part = x[rows]
        square = part.square().sum(1, keepdim=True) + length
        yield rows, square.addmm_(part, y.T, alpha=-2).clamp_(min=0)
