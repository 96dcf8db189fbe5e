r"""An option that rises in training, once or again and again.

.. math:: a + (b - a) \min(1, u / r), \qquad u = M \tau \bmod 1, \quad \tau \in [0, 1)

Shapes: none; what moves is one number.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..errors import DiaboloError
from .schedule import Aim, Schedule, Seen

__all__ = ["Ramp"]


class Ramp(Schedule):
    """An objective with an option that rises linearly from `start` to `end`, then stays.

    References:
        | Generating Sentences from a Continuous Space (Bowman et al., 2016), section 3.1
        | https://arxiv.org/abs/1511.06349
        | Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing
        | (Fu et al., 2019), https://arxiv.org/abs/1903.10145

    Arguments:
        objective: A function of a trace and the option.
        option: The option's name.
        end: Its final value.
        start: Its first value.
        over: The part of training, or of each cycle, over which it rises; 0 for at once.
        cycles: How often it starts again; training ends with its final value.
        aim: Where the training is to end, if it aims at a rate or a distortion.

    Raises:
        DiaboloError: If `over` is no part of training, or there is no cycle.
    """

    def __init__(
        self,
        objective: Callable[..., Tensor],
        option: str = "beta",
        *,
        end: float = 1.0,
        start: float = 0.0,
        over: float = 0.1,
        cycles: int = 1,
        aim: Aim | None = None,
    ) -> None:
        if not 0 <= over <= 1 or cycles < 1:
            raise DiaboloError(
                "A ramp rises over a part of training between 0 and 1, in one cycle or more, not "
                f"over {over} in {cycles}."
            )
        start = start if over else end
        least = min(start, end)
        super().__init__(objective, option, start=start, least=least, end=end, aim=aim)
        self.start, self.rise, self.over, self.cycles = start, end - start, over, cycles

    def advance(self, progress: float, seen: Seen | None = None) -> None:
        """Sets the option for this part of training; see `Schedule`."""
        within = self.cycles * progress % 1 if progress < 1 else 1.0
        part = min(within / self.over, 1.0) if self.over else 1.0
        self.now.fill_(self.start + self.rise * part)
