"""Where a positive parameter comes from: a network, learned numbers, or the user.

Shapes: `*` any batch, E the event shape of x.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DiaboloError, unknown

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FLOOR", "Scale", "above"]

SPEED = 3.0  # a lone number moves one learning rate a step: this lets it keep up with networks
FLOOR = 1e-3  # the least scale where the data do not say


def above(raw: Tensor, floor: Tensor | float) -> Tensor:
    """Returns log(exp(raw) + floor): a log-scale above the floor whose gradient never dies."""
    low = floor.log() if isinstance(floor, Tensor) else math.log(floor)
    return low + F.softplus(raw - low)


class Scale(nn.Module):
    r"""The log-scale of a location-scale family.

    A density of data that lie on a grid of step h can gain any number of nats by narrowing onto
    the grid. A scale is therefore learned above h / sqrt(12), the standard deviation of what
    rounding to the grid takes away (Sheppard, 1898), which is that of a uniform density over a
    step.

    Arguments:
        owner: The family's name, for error messages.
        kind: `element` (a network output for each), `column` (a learned number for each element
            of an event), `shared` (one learned number), any further word that the owner handles
            itself, or a fixed positive number.
        floor: What is added to a learned scale; None takes 1e-3 or, where the data have steps
            for which that is too narrow, what `prepare` finds.
        further: The words that the owner handles.
        start: The raw log-scale with which a shared one starts.
        what: What it is called, where it is another positive parameter than a scale.
        words: The kinds there are.

    Raises:
        DiaboloError: If the kind is unknown, a number is not positive, or a floor has no effect.

    References:
        | On the Calculation of the most Probable Values of Frequency-Constants (Sheppard, 1898)
        | https://doi.org/10.1112/plms/s1-29.1.353
    """

    raw: nn.Parameter | None
    grid: Tensor | None

    def __init__(
        self,
        owner: str,
        kind: str | float,
        floor: float | None,
        further: tuple[str, ...] = (),
        start: float = 0.0,
        what: str = "scale",
        words: tuple[str, ...] = ("element", "column", "shared"),
    ) -> None:
        super().__init__()
        if isinstance(kind, str) and kind not in (*words, *further):
            raise unknown(f"{what} of {owner}", kind, (*words, *further))
        number = isinstance(kind, int | float) and not isinstance(kind, bool)
        if not isinstance(kind, str) and not (number and 0 < kind < math.inf):
            raise DiaboloError(f"The {what} of {owner} must be a positive number, but got {kind}.")
        if floor is not None and (not isinstance(floor, int | float) or not 0 < floor < math.inf):
            raise DiaboloError(f"The floor of {owner} must be a positive number, but got {floor}.")
        if floor is not None and not isinstance(kind, str):
            raise DiaboloError(
                f"The {what} of {owner} is the fixed number {kind}, on which a floor has no "
                "effect: leave one of them out."
            )
        self.owner, self.kind, self.given, self.start = owner, kind, floor, start
        self.what = what
        self.register_parameter("raw", None)  # by column: its shape is not known yet
        if kind == "shared":
            self.raw = nn.Parameter(torch.tensor(start / SPEED))
        # Not among the weights: it follows from the spec, which is stored with them.
        self.register_buffer("grid", None, persistent=False)

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns the scale of several elements instead of those of one element each.

        A number that an element's data shared is then one of those by column.
        """
        made = copy.deepcopy(self)
        raws = [s.raw.detach().reshape(()) for s in (self, *others) if s.raw is not None]
        if self.kind == "shared":
            made.kind = "column"
        if raws:
            made.raw = nn.Parameter(torch.stack(raws))
        return made

    @property
    def width(self) -> int:
        """The number of raw parameters an element's scale takes: 1 or 0."""
        return int(self.kind == "element")

    @property
    def floor(self) -> Tensor | float:
        """What is added to a learned scale, () or E."""
        if self.given is not None:
            return self.given
        return FLOOR if self.grid is None else self.grid

    @property
    def stepped(self) -> Tensor | None:
        """Which elements the data's steps keep above the usual floor, E; None if no one is."""
        return None if self.grid is None else self.grid > FLOOR

    def prepare(self, event: tuple[int, ...], step: Tensor | None) -> None:
        """Takes the shape E and the steps between values, in the units of the scale, or None.

        Raises:
            DiaboloError: If scales by column were made for events of another shape.
        """
        if self.kind == "column":
            if self.raw is None:
                self.raw = nn.Parameter(torch.full(event, self.start / SPEED))
            elif self.raw.shape != event:
                raise DiaboloError(
                    f"This {self.owner} was made for data of shape {tuple(self.raw.shape)}, but "
                    f"these have the shape {event}: make one for each model."
                )
        learned = isinstance(self.kind, str) and self.given is None
        self.grid = None
        if learned and step is not None and bool((step > FLOOR * math.sqrt(12)).any()):
            self.grid = (step / math.sqrt(12)).clamp(min=FLOOR)

    def log_scale(
        self, raw: Tensor, event_ndim: int, floor: Tensor | float | None = None
    ) -> Tensor:
        """Returns the log-scale (*, *E), or of a shape that broadcasts to it where data share it.

        Arguments:
            raw: The network's output (*, width, *E), the scale last in its width.
            event_ndim: The number of axes of E.
            floor: A floor in place of `self.floor`.

        Raises:
            DiaboloError: If scales by column were not told the shape of an event.
        """
        if not isinstance(self.kind, str):
            return raw.new_full((), math.log(float(self.kind)))
        low = self.floor if floor is None else floor
        if isinstance(low, Tensor):
            low = low.to(raw.dtype)
        if self.kind == "element":
            return above(raw.select(-event_ndim - 1, -1), low)
        if self.raw is None:
            raise DiaboloError(
                f"{self.owner}({self.what}={self.kind}) has a number for each element of the "
                "data: call prepare(event, None) first."
            )
        return above(SPEED * self.raw.to(raw.dtype), low)
