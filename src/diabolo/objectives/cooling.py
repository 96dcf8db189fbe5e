r"""An objective of relaxed codes, which get nearer to values of z as the temperature falls.

.. math:: T(\tau) = T_1^\tau, \qquad \tau \in [0, 1]

Shapes: none; what moves is one number.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .schedule import Schedule, Seen

__all__ = ["Cooling"]


class Cooling(Schedule):
    """An objective beside which a temperature of the model falls from 1, by a like part each step.

    The temperature is the model's, which draws by it. It is held there, and this follows training.

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 2.2
        | https://arxiv.org/abs/1611.01144

    Arguments:
        objective: A function of a trace.
        heated: The module whose buffer `temperature` is moved.
        end: The temperature at the end of training.
    """

    def __init__(self, objective: Callable[..., Tensor], heated: nn.Module, *, end: float) -> None:
        super().__init__(objective, None, start=1.0, least=end, end=end)
        self.heated = (heated,)  # in a tuple, as it is no part of the objective

    def advance(self, progress: float, seen: Seen | None = None) -> None:
        """Sets the temperature for this part of training; see `Schedule`."""
        self.now.fill_(self.least**progress)
        self.heated[0].get_buffer("temperature").copy_(self.now)
