"""What families of a location and a scale have in common.

Shapes: E the event shape of x.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Family
from .scales import Scale

__all__ = ["LocationScale"]


class LocationScale(Family):
    """A family whose raw numbers are a location and, where it is by element, a log-scale.

    Attributes:
        scale: Where the scale comes from; a member makes it.
    """

    scale: Scale
    apart = True

    def width(self, event: tuple[int, ...]) -> int:
        """Returns 2 where the scale is learned for each element, else 1."""
        return 1 + self.scale.width

    @property
    def stepped(self) -> Tensor | None:
        """Which elements the data's steps keep above the usual floor."""
        return self.scale.stepped

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes the shape of an event and the steps between values."""
        self.scale.prepare(event, step)

    def start(self, mean: Tensor) -> Tensor:
        """Returns the mean, and a scale of 1."""
        return torch.stack([mean, torch.zeros_like(mean)])[: 1 + self.scale.width]
