"""Pieces that several networks share: activations and checks of options.

Shapes: N data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from ..errors import DiaboloError, unknown

__all__ = ["ACTIVATIONS", "activate", "keep_size", "positive", "scaled"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


def activate(name: str) -> nn.Module:
    """Returns a new activation.

    Raises:
        DiaboloError: If there is none of this name.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def positive(what: str, values: object, example: str, *, empty: bool = False) -> tuple[int, ...]:
    """Returns a sequence of positive whole numbers as a tuple.

    Arguments:
        what: The option's name.
        values: What was given.
        example: What could have been given, for the sentence.
        empty: Whether there may be none.

    Raises:
        DiaboloError: If it is anything else.
    """
    if isinstance(values, Sequence) and not isinstance(values, str) and (values or empty):
        numbers = tuple(v for v in values if isinstance(v, int) and v > 0)
        if len(numbers) == len(values):
            return numbers
    raise DiaboloError(f"{what} must be positive whole numbers such as {example}, not {values!r}.")


def scaled(
    layer: nn.Conv2d | nn.ConvTranspose2d, fan_in: float, gain: float
) -> nn.Conv2d | nn.ConvTranspose2d:
    """Returns the layer with normal weights of standard deviation gain / sqrt(fan_in), bias 0.

    The fan-in is given because that of a transposed convolution is not what torch takes it for.
    """
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def keep_size(module: nn.Module) -> nn.Module:
    """Gives the dense layers of a module weights that keep the size of what passes; returns it.

    torch's own start shrinks a signal at each layer, which a deep stack learns from only late.

    References:
        | Delving Deep into Rectifiers (He et al., 2015), eq. 10
        | https://arxiv.org/abs/1502.01852
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
