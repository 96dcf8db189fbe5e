"""Where the scale of a density comes from: each element's own, one that all share, or a number.

Shapes: `*` any batch, E the event shape of x.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DiaboloError, unknown

__all__ = ["Scale", "above"]

SPEED = 3.0  # a lone number moves one learning rate a step: this lets it keep up with networks


def above(raw: Tensor, floor: float) -> Tensor:
    """Returns log(exp(raw) + floor): a log-scale above the floor whose gradient never dies."""
    low = math.log(floor)
    return low + F.softplus(raw - low)


class Scale(nn.Module):
    """The log-scale of a location-scale family.

    Arguments:
        owner: The family's name, for error messages.
        kind: `element` (a network output for each), `shared` (one learned number), any further
            word that the owner handles itself, or a fixed positive number.
        floor: What is added to a learned scale.
        further: The words that the owner handles.
        start: The raw log-scale with which a shared one starts.

    Raises:
        DiaboloError: If the kind is unknown, or a number is not positive.
    """

    def __init__(
        self,
        owner: str,
        kind: str | float,
        floor: float,
        further: tuple[str, ...] = (),
        start: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(kind, str) and kind not in ("element", "shared", *further):
            raise unknown(f"scale of {owner}", kind, ["element", "shared", *further])
        number = isinstance(kind, int | float) and not isinstance(kind, bool)
        if not isinstance(kind, str) and not (number and 0 < kind < math.inf):
            raise DiaboloError(f"The scale of {owner} must be a positive number, but got {kind}.")
        if not isinstance(floor, int | float) or not 0 < floor < math.inf:
            raise DiaboloError(f"The floor of {owner} must be a positive number, but got {floor}.")
        self.kind, self.floor = kind, floor
        if kind == "shared":
            self.raw = nn.Parameter(torch.tensor(start / SPEED))

    @property
    def width(self) -> int:
        """The number of raw parameters an element's scale takes: 1 or 0."""
        return int(self.kind == "element")

    def log_scale(self, raw: Tensor, event_ndim: int) -> Tensor:
        """Returns the log-scale (*, *E), or () where all data share it.

        Arguments:
            raw: The network's output (*, width, *E), the scale last in its width.
            event_ndim: The number of axes of E.
        """
        if self.kind == "element":
            return above(raw.select(-event_ndim - 1, -1), self.floor)
        if self.kind == "shared":
            return above(SPEED * self.raw, self.floor).to(raw.dtype)
        return raw.new_full((), math.log(float(self.kind)))
