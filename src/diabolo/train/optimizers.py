r"""The optimisers, each as torch's own and as the same rule in plain operations for one graph.

torch's fused kernels are the fastest where a step is run operation by operation. Within a graph
that holds the whole step a rule of plain operations is faster, since it is fused with what makes
the gradient. Both keep the same state under the same names, so that either goes on with it.

Shapes: P the shape of one parameter.

References:
    | Adam: A Method for Stochastic Optimization (Kingma & Ba, 2015), https://arxiv.org/abs/1412.6980
    | Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019)
    | https://arxiv.org/abs/1711.05101
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..config import TrainConfig

__all__ = ["RULES", "Rule", "make"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# A moment this small moves no weight, and denormal numbers slow the processor's arithmetic.
TINY = 1e-30


class Rule(NamedTuple):
    """One optimiser.

    Attributes:
        kind: torch's own.
        states: The names of the two moments in its state.
        update: Returns the new weight and moments, each P, from the weight, the gradient, the
            moments, the learning rate, the bias corrections 1 - beta^t of both, and the decay.
    """

    kind: Callable[..., torch.optim.Optimizer]
    states: tuple[str, str]
    update: Callable[..., tuple[Tensor, Tensor, Tensor]]


def _normal(t: Tensor) -> Tensor:
    return torch.where(t.abs() < TINY, 0.0, t)


def _adam(
    p: Tensor, g: Tensor, m: Tensor, v: Tensor, rate: Tensor, c1: Tensor, c2: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    m = _normal(torch.lerp(m, g, 1 - BETA1))
    v = _normal(BETA2 * v + (1 - BETA2) * g * g)
    if decay:
        p = p * (1 - rate * decay)
    return p - m * (rate / c1) / (v.sqrt() * c2.rsqrt() + EPSILON), m, v


def _adamax(
    p: Tensor, g: Tensor, m: Tensor, u: Tensor, rate: Tensor, c1: Tensor, c2: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    m = _normal(torch.lerp(m, g, 1 - BETA1))
    u = torch.maximum(BETA2 * u, g.abs() + EPSILON)
    return p - m * (rate / c1) / u, m, u


RULES = {
    "adam": Rule(torch.optim.Adam, ("exp_avg", "exp_avg_sq"), _adam),
    "adamw": Rule(torch.optim.AdamW, ("exp_avg", "exp_avg_sq"), _adam),
    "adamax": Rule(torch.optim.Adamax, ("exp_avg", "exp_inf"), _adamax),
}


def make(parameters: list[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """Returns torch's own optimiser of these parameters, fused where it can be."""
    rule = RULES[config.optimizer]
    options: dict[str, Any] = {} if config.optimizer == "adamax" else {"fused": True}
    return rule.kind(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, **options
    )
