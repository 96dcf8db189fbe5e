"""The inverse of an increasing function, by bisection: where densities start from the data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["where_rising"]

HALVINGS = 60  # of an interval of some hundreds: below the resolution of a double


def where_rising(
    function: Callable[[Tensor], Tensor],
    goal: Tensor,
    low: float,
    high: float,
    halvings: int = HALVINGS,
) -> Tensor:
    """Returns the numbers between `low` and `high` at which an increasing function is `goal`.

    Arguments:
        function: Elementwise, of numbers of the shape of `goal`.
        goal: What it is to be.
        low: A number at which it is below every goal.
        high: A number at which it is above every goal.
        halvings: How often the interval is halved, unless nothing is left to halve before.
    """
    below, above = torch.full_like(goal, low), torch.full_like(goal, high)
    with torch.no_grad():
        for _ in range(halvings):
            middle = (below + above) / 2
            if bool(((middle == below) | (middle == above)).all()):
                break  # no number lies between them
            less = function(middle) < goal
            below, above = torch.where(less, middle, below), torch.where(less, above, middle)
    return (below + above) / 2
