"""Networks between images of any size and vectors: halve and double, with a dense end.

An image keeps a record of its sizes: each stage halves an axis (rounding up) unless it is shorter
than 4, and the way back doubles it and cuts what is too much. A transposed convolution has an even
kernel where it doubles, so that every pixel is reached by equally many taps and there is no
checkerboard (Odena, Dumoulin & Olah, 2016). Nothing here couples the data of a batch.

Shapes: N data, I the inputs' shape, O the outputs' shape, C the condition's width, H height,
W width.

References:
    | Deconvolution and Checkerboard Artifacts (Odena, Dumoulin & Olah, 2016)
    | https://doi.org/10.23915/distill.00003
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from ..errors import DiaboloError
from ._layers import activate, positive, scaled

__all__ = ["Decoder", "Encoder", "Plan", "build", "default_channels"]

SMALL = 8  # images are halved, unless the user says otherwise, until no side is longer
SHORT = 4  # an axis shorter than this is not halved


@dataclass(frozen=True)
class Plan:
    """What all convolutional networks have in common.

    Arguments:
        channels: The channels of each stage, from the image inwards.
        hidden: The width of the dense layer.
        kernel: The side of a convolution, odd.
        activation: The activation's name.
        blocks: Residual blocks in each stage.
    """

    channels: tuple[int, ...]
    hidden: int
    kernel: int
    activation: str
    blocks: int = 0


def default_channels(size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns 32, 64, 128, 128, ... channels, a stage for each halving down to 8 pixels."""
    stages, longest = 1, math.ceil(max(size) / 2)
    while longest > SMALL:
        stages, longest = stages + 1, math.ceil(longest / 2)
    return tuple(min(32 * 2**i, 128) for i in range(stages))


def sizes(size: tuple[int, int], stages: int) -> list[tuple[int, int]]:
    """Returns the height and width before and after each stage."""
    found = [size]
    for _ in range(stages):
        h, w = (math.ceil(s / 2) if s >= SHORT else s for s in found[-1])
        found.append((h, w))
    return found


def strides(small: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Returns by how much each axis shrinks from `size` to `small`: 1 or 2."""
    return (1 if small[0] == size[0] else 2, 1 if small[1] == size[1] else 2)


class Block(nn.Module):
    """h + f(h) with f at first zero (He et al., 2016; Zhang et al., 2019).

    Arguments:
        channels: The channels of h.
        plan: The kernel and the activation.
        scale: What f is multiplied by: 1/sqrt(blocks) keeps the sum's variance from growing.
    """

    def __init__(self, channels: int, plan: Plan, scale: float) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels, plan.kernel, padding=plan.kernel // 2)
        last = nn.Conv2d(channels, channels, plan.kernel, padding=plan.kernel // 2)
        scaled(first, channels * plan.kernel**2, math.sqrt(2))
        scaled(last, 1, 0.0)
        self.branch = nn.Sequential(
            activate(plan.activation), first, activate(plan.activation), last
        )
        self.scale = scale

    def forward(self, h: Tensor) -> Tensor:
        """Returns (N, channels, H, W) from the same."""
        return h + self.scale * self.branch(h)


class Up(nn.Module):
    """Brings an image to the size it had before a stage.

    Arguments:
        inputs: The channels that come.
        outputs: The channels that go.
        small: The height and width that come.
        size: The height and width that go.
        kernel: The side of the convolution where an axis stays as it is.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        small: tuple[int, int],
        size: tuple[int, int],
        kernel: int,
    ) -> None:
        super().__init__()
        self.size = size
        stride = strides(small, size)
        taps = (kernel + stride[0] - 1, kernel + stride[1] - 1)  # even where the axis is doubled
        padding = ((taps[0] - stride[0]) // 2, (taps[1] - stride[1]) // 2)
        layer = nn.ConvTranspose2d(inputs, outputs, taps, stride, padding)
        self.layer = scaled(layer, inputs * prod(taps) / prod(stride), math.sqrt(2))

    def forward(self, h: Tensor) -> Tensor:
        """Returns (N, outputs, *size) from (N, inputs, *small)."""
        return self.layer(h)[..., : self.size[0], : self.size[1]]


class Encoder(nn.Module):
    """An image, and a condition at the dense end, to an array of any shape.

    Arguments:
        inputs: The shape (channels, H, W) of one image.
        outputs: The shape O of one output.
        condition: The width C of the condition.
        plan: The network's options.
    """

    def __init__(
        self, inputs: tuple[int, ...], outputs: tuple[int, ...], condition: int, plan: Plan
    ) -> None:
        super().__init__()
        self.outputs = outputs
        steps = sizes((inputs[1], inputs[2]), len(plan.channels))
        channels = (inputs[0], *plan.channels)
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(steps)):
            stride = strides(after, before)
            conv = nn.Conv2d(
                channels[i], channels[i + 1], plan.kernel, stride, padding=plan.kernel // 2
            )
            layers.append(scaled(conv, channels[i] * plan.kernel**2, math.sqrt(2)))
            layers += _blocks(channels[i + 1], plan)
            layers.append(activate(plan.activation))
        self.body = nn.Sequential(*layers)
        flat = channels[-1] * prod(steps[-1]) + condition
        self.dense = nn.Sequential(nn.Linear(flat, plan.hidden), activate(plan.activation))
        self.head = nn.Linear(plan.hidden, prod(outputs))

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns (N, *O) from h (N, *I) and c (N, C)."""
        h = self.body(h).flatten(1)
        if c is not None:
            h = torch.cat([h, c.to(h.dtype)], dim=-1)
        return self.head(self.dense(h)).unflatten(1, self.outputs)


class Decoder(nn.Module):
    """An array of any shape, with a condition beside it, to an image.

    Arguments:
        inputs: The shape I of one input.
        outputs: The shape (channels, H, W) of one image.
        condition: The width C of the condition.
        plan: The network's options.
    """

    def __init__(
        self, inputs: tuple[int, ...], outputs: tuple[int, ...], condition: int, plan: Plan
    ) -> None:
        super().__init__()
        steps = sizes((outputs[1], outputs[2]), len(plan.channels))[::-1]
        # Few channels at full size, where time goes, but no fewer than it takes to fill the output.
        last = max(plan.channels[0] // 4, min(outputs[0], plan.channels[0]))
        channels = (*plan.channels[::-1], last)
        self.small = (channels[0], *steps[0])
        self.dense = nn.Sequential(
            nn.Linear(prod(inputs) + condition, plan.hidden),
            activate(plan.activation),
            nn.Linear(plan.hidden, prod(self.small)),
        )
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(steps)):
            layers += _blocks(channels[i], plan)
            layers.append(activate(plan.activation))
            layers.append(Up(channels[i], channels[i + 1], before, after, plan.kernel))
        layers.append(activate(plan.activation))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], outputs[0], plan.kernel, padding=plan.kernel // 2)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns (N, *O) from h (N, *I) and c (N, C)."""
        h = h.flatten(1)
        if c is not None:
            h = torch.cat([h, c.to(h.dtype)], dim=-1)
        return self.head(self.body(self.dense(h).unflatten(1, self.small)))


class Through(nn.Module):
    """An image to an image of any other size, by way of a vector.

    Arguments:
        encoder: Maps the image to a vector, with the condition.
        decoder: Maps the vector to the image, with the condition.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        return self.decoder.head

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns (N, *O) from h (N, *I) and c (N, C)."""
        return self.decoder(self.encoder(h, c), c)


def build(
    name: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    condition: int,
    *,
    channels: tuple[int, ...] | None,
    hidden: int,
    kernel: int,
    activation: str,
    blocks: int = 0,
) -> nn.Module:
    """Returns the network that joins these shapes: image to array, array to image, or both.

    Arguments:
        name: The network's name, for error messages.
        inputs: The shape I of one input.
        outputs: The shape O of one output.
        condition: The width C of the condition.
        channels: The channels of each stage, or None for those of the image's size.
        hidden: The width of the dense layer.
        kernel: The side of a convolution.
        activation: The activation's name.
        blocks: Residual blocks in each stage.

    Raises:
        DiaboloError: If neither shape is an image, or an option is out of range.
    """
    inputs, outputs = tuple(inputs), tuple(outputs)
    images = [shape for shape in (inputs, outputs) if len(shape) == 3]
    if not images:
        raise DiaboloError(
            f"The network '{name}' needs images (channels, height, width) on one side, but "
            f"is to map {inputs} to {outputs}: use 'mlp'."
        )
    if channels is not None:
        channels = positive(f"{name}: channels", channels, "(32, 64)")
    positive(f"{name}: hidden", (hidden,), "256")
    if kernel not in (1, 3, 5, 7, 9):
        raise DiaboloError(f"{name}: kernel must be an odd number from 1 to 9, not {kernel!r}.")

    def plan(shape: tuple[int, ...]) -> Plan:
        own = default_channels(shape[1:]) if channels is None else channels
        return Plan(own, hidden, kernel, activation, blocks)

    if len(images) == 2:
        first = Encoder(inputs, (hidden,), condition, plan(inputs))
        return Through(first, Decoder((hidden,), outputs, condition, plan(outputs)))
    if len(inputs) == 3:
        return Encoder(inputs, outputs, condition, plan(inputs))
    return Decoder(inputs, outputs, condition, plan(outputs))


def _blocks(channels: int, plan: Plan) -> list[nn.Module]:
    """Returns the residual blocks of one stage."""
    total = plan.blocks * len(plan.channels)
    return [Block(channels, plan, 1 / math.sqrt(total)) for _ in range(plan.blocks)]
