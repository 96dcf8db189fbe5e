r"""A number that compares samples with data, and the part that each of the two has in its error.

Samples and data are independent, so that the two variances add up. Where a number is a mean over
rows, each is that of a mean. Where it is a smooth function of both sets, blocks of rows are left
out, one after the other, of the samples alone and of the data alone (the jackknife):

.. math::
    \widehat{\mathrm{var}} = \frac{m - 1}{m} \sum_{j=1}^m (\theta_{-j} - \bar\theta)^2, \qquad
    \widehat{\mathrm{bias}} = (m - 1)(\bar\theta - \theta)

Shapes: N data, M samples, D features, m blocks.

References:
    | The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982), chapter 2
    | https://doi.org/10.1137/1.9781611970319
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import DiaboloError
from ..estimate import finite
from ..quantity import Quantity

__all__ = ["BLOCKS", "Comparison", "Left", "blocks", "left", "points", "ratio", "stderr"]

BLOCKS = 20  # m, of which the spread is known to a sixth of itself


@dataclass(frozen=True)
class Comparison:
    """A number that compares samples with data.

    Arguments:
        value: The number.
        mc_stderr: The part of its standard error that comes of the samples; None where it is
            not told apart, or not known.
        data_stderr: The part that comes of the data, likewise.
        n: The number N of data.
        m: The number M of samples.
        kind: What the number is, in words.
        same: What is expected of samples that follow the law of the data; None if not known.
        bias: How far the number lies above what more data and samples would give, as estimated;
            0 where it has none.
    """

    value: float
    mc_stderr: float | None
    data_stderr: float | None
    n: int
    m: int
    kind: str
    same: float | None = None
    bias: float = 0.0

    @property
    def stderr(self) -> float:
        """The standard error from samples and data together, of the parts that are known."""
        return math.hypot(self.mc_stderr or 0.0, self.data_stderr or 0.0)

    def __str__(self) -> str:
        parts = (("samples", self.mc_stderr), ("data", self.data_stderr))
        errors = ", ".join(f"{of} {part:.3g}" for of, part in parts if part is not None)
        return f"{self.value:.4g} (standard errors: {errors})"

    def row(self, name: str, unit: str = "") -> Quantity:
        """Returns the line of a table."""
        how = self.kind if self.same is None else f"{self.kind}; {self.same:.3g} for the same law"
        return Quantity(name, self.value, unit, self.mc_stderr, self.data_stderr, how)

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers and words; a number that is not finite is None."""
        return {
            "value": finite(self.value),
            "mc_stderr": finite(self.mc_stderr),
            "data_stderr": finite(self.data_stderr),
            "n": self.n,
            "m": self.m,
            "kind": self.kind,
            "same": self.same,
            "bias": finite(self.bias),
        }


class Left(NamedTuple):
    """What leaving blocks out tells.

    Attributes:
        stderr: The standard error that comes of this set.
        bias: The bias that comes of it.
    """

    stderr: float
    bias: float


def left(value: float, without: Tensor) -> Left:
    """Returns the jackknife's error and bias of a number.

    Arguments:
        value: The number.
        without: The number without each block, (m,).
    """
    m, mean = len(without), without.mean()
    spread = float((without - mean).square().sum()) * (m - 1) / m
    return Left(math.sqrt(spread), (m - 1) * (float(mean) - value))


def blocks(n: int, seed: int, m: int = BLOCKS) -> Tensor:
    """Returns the block of each of n rows, (n,), drawn at random: rows may lie in an order."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    found = torch.empty(n, dtype=torch.int64)
    found[order] = torch.arange(n) % m
    return found


def points(x: Tensor, y: Tensor, least: int = 2 * BLOCKS) -> tuple[Tensor, Tensor]:
    """Returns data (N, D) and samples (M, D) as float64 on the CPU.

    Raises:
        DiaboloError: If their shapes differ, there are too few, or one is not finite.
    """
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DiaboloError(
            "Data (N, D) and samples (M, D) are compared in the same D numbers, but got "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    if min(len(x), len(y)) < least:
        raise DiaboloError(
            f"A comparison needs at least {least} data and {least} samples, but got {len(x)} and "
            f"{len(y)}."
        )
    for name, t in (("data", x), ("samples", y)):
        if not bool(t.isfinite().all()):
            raise DiaboloError(f"Numbers that are compared are finite, but the {name} are not.")
    return x, y


def stderr(values: Tensor) -> float:
    """Returns the standard error of the mean of values (n,) that are independent; NaN of one."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def ratio(samples: Tensor, data: Tensor, *, kind: str, paired: bool = False) -> Comparison:
    """Returns the mean of a quantity over samples (M,), divided by that over data (N,).

    The errors are those of the linear term.

    Arguments:
        samples: The quantity of each sample.
        data: The quantity of each datum.
        kind: What the number is.
        paired: Whether each sample was made of the datum in its place; then all of the error
            counts as that of the data.
    """
    below = float(data.mean())
    found = float(samples.mean()) / below if below else math.nan
    mc: float | None = None
    if paired:
        of_data = stderr(samples - found * data) / abs(below) if below else math.nan
    else:
        mc = stderr(samples) / abs(below) if below else math.nan
        of_data = abs(found) * stderr(data) / abs(below) if below else math.nan
    return Comparison(found, mc, of_data, len(data), len(samples), kind, same=1.0)
