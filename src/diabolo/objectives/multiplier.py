r"""A price of the rate that is found in training, so that a rate or a distortion is met.

.. math::
    \max_{\theta, \phi} \; -D - \beta R, \qquad
    \log \beta \leftarrow \log \beta + \eta \, \overline{\min(1, \max(-1, e))}

with e the part by which the rate is too high, and the bar a moving average.

Shapes: none; what moves is one number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import Aim, Schedule, Seen

__all__ = ["Multiplier"]

PART = 0.1  # of the moving average that one step replaces
LEAST, MOST = 1e-4, 1e4  # for an aim that no price reaches


class Multiplier(Schedule):
    """An objective whose price of the rate rises while the rate is too high, and else falls.

    Its fixed point is the solution of the constrained problem: the least distortion at a rate, or
    the least rate at a distortion, with the price as Lagrange's multiplier. Rezende and Viola
    price the distortion with 1 / beta, which has the same solutions. A price below 1 makes no
    bound of the objective, so that it counts as a surrogate.

    References:
        | Taming VAEs (Rezende & Viola, 2018), algorithm 1, https://arxiv.org/abs/1810.00597
        | Fixing a Broken ELBO (Alemi et al., 2018), for rate and distortion
        | https://arxiv.org/abs/1711.00464

    Arguments:
        objective: A function of a trace and `beta`.
        aim: The rate, above 0, or the distortion to end at.
        speed: How far the logarithm of the price moves in a step, at most.
    """

    average: Tensor

    def __init__(self, objective: Callable[..., Tensor], aim: Aim, *, speed: float = 0.05) -> None:
        super().__init__(objective, "beta", start=1.0, least=LEAST, aim=aim)
        self.speed = speed
        self.register_buffer("average", torch.zeros_like(self.now))

    def advance(self, progress: float, seen: Seen | None = None) -> None:
        """Moves the price by what the last step saw; a step that was skipped leaves it alone."""
        if seen is None or self.aim is None:
            return
        excess = self.aim.excess(seen.distortion, seen.rate, self.now).clamp(-1, 1)
        average = torch.lerp(self.average, excess.to(self.average), PART)
        price = (self.now * torch.exp(self.speed * average)).clamp(LEAST, MOST)
        good = seen.good & average.isfinite()
        self.average.copy_(torch.where(good, average, self.average))
        self.now.copy_(torch.where(good, price, self.now))
