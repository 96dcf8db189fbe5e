"""Residual convolutional networks for images of any height, width and number of channels.

Shapes: N data, I the inputs' shape, O the outputs' shape, C the condition's width.

References:
    | Identity Mappings in Deep Residual Networks (He et al., 2016)
    | https://arxiv.org/abs/1603.05027
    | Very Deep VAEs (Child, 2021), section 3.1: the scaling of the residual branches
    | https://arxiv.org/abs/2011.10650
"""

from __future__ import annotations

from torch import nn

from . import _image
from ._layers import positive

__all__ = ["residual"]


def residual(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    condition: int = 0,
    *,
    channels: tuple[int, ...] | None = None,
    blocks: int = 2,
    hidden: int = 256,
    kernel: int = 3,
    activation: str = "silu",
) -> nn.Module:
    """Returns a residual network from (N, *I) to (N, *O) that also reads a condition (N, C).

    It is `conv` with pre-activation blocks h + f(h) in every stage; f starts at zero and is
    scaled by one over the root of the number of blocks.

    Arguments:
        inputs: The shape I of one input; images are (channels, height, width).
        outputs: The shape O of one output.
        condition: The width C of the condition, 0 for none.
        channels: The channels of each stage, from the image inwards; a stage halves each axis of
            4 pixels or more. None gives 32, 64, 128, 128, ... until no side exceeds 8 pixels.
        blocks: The residual blocks of each stage.
        hidden: The width of the dense layer.
        kernel: The side of a convolution, an odd number.
        activation: `gelu`, `silu`, `relu` or `tanh`.

    Raises:
        DiaboloError: If neither shape is an image, or an option is out of range.
    """
    return _image.build(
        "residual",
        inputs,
        outputs,
        condition,
        channels=channels,
        hidden=hidden,
        kernel=kernel,
        activation=activation,
        blocks=positive("residual: blocks", (blocks,), "2")[0],
    )
