"""A price of the rate that rises in training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..model import Trace

__all__ = ["Warmup"]


class Warmup(nn.Module):
    """An objective with a price of the rate that rises from `start` to `beta`.

    The price is a buffer: it is saved, resumed, and never recompiles a graph.

    Arguments:
        objective: A function of a trace and `beta`.
        beta: The final price of one nat of rate.
        start: The first price.
        over: The part of training over which the price rises linearly.
    """

    price: Tensor

    def __init__(
        self,
        objective: Callable[..., Tensor],
        *,
        beta: float = 1.0,
        start: float = 0.0,
        over: float = 0.1,
    ) -> None:
        super().__init__()
        self.objective, self.beta, self.start, self.over = objective, beta, start, over
        self.register_buffer("price", torch.tensor(float(start if over > 0 else beta)))

    def advance(self, progress: float) -> None:
        """Sets the price for this part of training, 0 at its start and 1 at its end."""
        part = min(progress / self.over, 1.0) if self.over > 0 else 1.0
        self.price.fill_(self.start + (self.beta - self.start) * part)

    def forward(self, t: Trace) -> Tensor:
        """Returns the objective at the present price, (B,)."""
        return self.objective(t, beta=self.price)
