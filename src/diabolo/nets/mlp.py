"""Multilayer perceptrons from any shape to any shape.

Shapes: N data, I the inputs' shape, O the outputs' shape, C the condition's width.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from ..errors import unknown
from ._layers import ACTIVATIONS, activate, positive

__all__ = ["mlp"]


class Gated(nn.Module):
    """One layer whose output is scaled by a learned gate (Dauphin et al., 2017).

    It begins by keeping the size of its input. A standard normal gate g multiplies the variance
    by E[sigmoid(g)^2] = 0.293, which the values' weights make up for; torch's own start would
    leave a tenth of the variance after each layer, and learns far more slowly.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs)
        with torch.no_grad():
            value, gate = self.both.weight.chunk(2)  # as `glu` divides them
            value.normal_(std=(0.293 * inputs) ** -0.5)
            gate.normal_(std=inputs**-0.5)
            self.both.bias.zero_()

    def forward(self, h: Tensor) -> Tensor:
        """Returns value * sigmoid(gate)."""
        return nn.functional.glu(self.both(h), dim=-1)


class Perceptron(nn.Module):
    """Dense layers over the flattened input and, where there is one, the condition."""

    def __init__(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        condition: int,
        hidden: tuple[int, ...],
        activation: str,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        widths = (prod(inputs) + condition, *hidden)
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            if activation == "gated":
                layers.append(Gated(i, o))
            else:
                layers += [nn.Linear(i, o), activate(activation)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], prod(outputs))

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns (N, *O) from h (N, *I) and c (N, C)."""
        h = h.flatten(1)
        if c is not None:
            h = torch.cat([h, c.to(h.dtype)], dim=-1)
        return self.head(self.body(h)).unflatten(1, self.outputs)


def mlp(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    condition: int = 0,
    *,
    hidden: tuple[int, ...] = (512, 512),
    activation: str = "gelu",
) -> nn.Module:
    """Returns a perceptron from (N, *I) to (N, *O) that also reads a condition (N, C).

    Arguments:
        inputs: The shape I of one input.
        outputs: The shape O of one output.
        condition: The width C of the condition, 0 for none.
        hidden: The widths of the layers between; none, `()`, gives a linear map.
        activation: `gelu`, `silu`, `relu`, `tanh`, or `gated` for gated linear units.

    Raises:
        DiaboloError: If the activation is unknown or a width is not a positive whole number.
    """
    hidden = positive("mlp: hidden", hidden, "(512, 512)", empty=True)
    if activation not in (*ACTIVATIONS, "gated"):
        raise unknown("activation", activation, (*ACTIVATIONS, "gated"))
    return Perceptron(tuple(inputs), tuple(outputs), condition, hidden, activation)
