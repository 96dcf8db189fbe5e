"""A point: the code of a deterministic autoencoder. It has no density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import FRESH, Noise
from .base import Distribution, Family

__all__ = ["Dirac", "DiracFamily"]


@dataclass(frozen=True, eq=False)
class Dirac(Distribution):
    """All mass on one point. Its log-mass there is 0, which is no log-density.

    Arguments:
        loc: The point, (*, *E).
        event_ndim: The number of axes of E.
    """

    loc: Tensor
    event_ndim: int = 1

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns zeros: the mass of the point against counting measure."""
        return torch.zeros_like(x - self.loc)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns the point."""
        return self.loc.expand(*shape, *self.loc.shape)

    @property
    def mean(self) -> Tensor:
        """The point."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.loc)


class DiracFamily(Family):
    """Points, for posteriors only: no data have this as their likelihood.

    Arguments:
        activation: Maps raw numbers to the point; None leaves them as they are.
    """

    deterministic = True

    def __init__(self, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.activation = activation

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 1."""
        return 1

    def from_raw(self, raw: Tensor, event_ndim: int) -> Dirac:
        """Returns the point."""
        point = raw.select(-event_ndim - 1, 0)
        return Dirac(point if self.activation is None else self.activation(point), event_ndim)
