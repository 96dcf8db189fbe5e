"""Objectives that change in training: one number moves from step to step.

Shapes: none; what moves is one number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..model import Trace

__all__ = ["Aim", "Schedule", "Seen"]


class Seen(NamedTuple):
    """What a step saw: means over all of its data, in nats.

    Attributes:
        distortion: -log p(x|z), ().
        rate: Of all groups together, ().
        good: Whether the step was taken; one that is not finite is skipped, ().
    """

    distortion: Tensor
    rate: Tensor
    good: Tensor


class Aim(NamedTuple):
    """A rate or a distortion that a training is to end at.

    Attributes:
        of: What is aimed at.
        nats: Where it is to end, the mean over the data.
    """

    of: Literal["rate", "distortion"]
    nats: float

    def excess(self, distortion: Tensor, rate: Tensor, price: Tensor | float = 1.0) -> Tensor:
        """Returns by which part the rate is too high, (); below 0, too low.

        Along the best pairs of rate and distortion one nat of rate is worth `price` nats of
        distortion, so that a distortion off its aim is as many nats of rate, divided by `price`.
        """
        if self.of == "rate":
            return rate / self.nats - 1
        return (self.nats - distortion) / (price * rate).clamp(min=1e-6)


class Schedule(nn.Module, ABC):
    """An objective, one option of which moves in training.

    The option is a buffer: it is saved, resumed, and never recompiles a graph. It is moved between
    steps, by numbers that are the same in all processes.

    Arguments:
        objective: A function of a trace and the option.
        option: The option's name; None where what moves is none of the objective's, and `advance`
            takes it to where it is used.
        start: Its first value.
        least: The least value that it may take.
        end: Its last value; None where training finds it.
        aim: Where the training is to end; the weights kept are of epochs that were there.
    """

    now: Tensor

    def __init__(
        self,
        objective: Callable[..., Tensor],
        option: str | None,
        *,
        start: float,
        least: float,
        end: float | None = None,
        aim: Aim | None = None,
    ) -> None:
        super().__init__()
        self.objective, self.option, self.least, self.aim = objective, option, least, aim
        self.end = end
        self.register_buffer("now", torch.tensor(float(start)))

    @abstractmethod
    def advance(self, progress: float, seen: Seen | None = None) -> None:
        """Moves the option.

        Arguments:
            progress: The part of training that is done, 0 at its start and 1 at its end.
            seen: What the last step saw; None if none was taken.
        """

    def forward(self, t: Trace) -> Tensor:
        """Returns the objective with the option as it is now, (B,)."""
        return self.objective(t, **({} if self.option is None else {self.option: self.now}))
