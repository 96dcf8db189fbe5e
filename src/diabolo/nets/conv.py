"""Convolutional networks for images of any height, width and number of channels.

Shapes: N data, I the inputs' shape, O the outputs' shape, C the condition's width.
"""

from __future__ import annotations

from torch import nn

from . import _image

__all__ = ["conv"]


def conv(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    condition: int = 0,
    *,
    channels: tuple[int, ...] | None = None,
    hidden: int = 256,
    kernel: int = 3,
    activation: str = "gelu",
) -> nn.Module:
    """Returns a convolutional network from (N, *I) to (N, *O) that also reads a condition (N, C).

    Where I is an image it encodes: strided convolutions, then a dense layer that joins the
    condition. Where O is an image it decodes: a dense layer of the code and the condition, then
    transposed convolutions. Where both are, it does one after the other.

    Arguments:
        inputs: The shape I of one input; images are (channels, height, width).
        outputs: The shape O of one output.
        condition: The width C of the condition, 0 for none.
        channels: The channels of each stage, from the image inwards; a stage halves each axis of
            4 pixels or more. None gives 32, 64, 128, 128, ... until no side exceeds 8 pixels.
        hidden: The width of the dense layer.
        kernel: The side of a convolution, an odd number.
        activation: `gelu`, `silu`, `relu` or `tanh`.

    Raises:
        DiaboloError: If neither shape is an image, or an option is out of range.
    """
    return _image.build(
        "conv",
        inputs,
        outputs,
        condition,
        channels=channels,
        hidden=hidden,
        kernel=kernel,
        activation=activation,
    )
