"""Networks: tensors to tensors, no probability. The folder is the registry.

A member is a function `name(inputs, outputs, condition=0, *, options) -> nn.Module` whose module
maps (N, *inputs) and a condition (N, C) or None to (N, *outputs). Each network ends in a linear
layer or convolution called `head`, whose bias may be set from the data (`set_start`).

A user's own module plugs in wherever a name does: any `nn.Module` that is called as `net(h, c)`,
with h (N, *inputs) and c (N, C) or None, and returns (N, *outputs). It needs no `head`; where it
has one that fits, its bias is set as well.

Shapes: N data, C the condition's width, W raw numbers for each element of an event E.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from ..errors import DiaboloError
from ..registry import Registry
from ._layers import keep_size

__all__ = ["NETS", "Net", "keep_size", "set_start"]

Net = str | nn.Module


class NetRegistry(Registry):
    """The networks by name; a user's own module passes through."""

    def module(
        self, net: Net, inputs: tuple[int, ...], outputs: tuple[int, ...], condition: int = 0
    ) -> nn.Module:
        """Returns the network that a name with options stands for, or the module as it is.

        Raises:
            DiaboloError: If there is no such network, or the module takes no condition beside h.
        """
        if isinstance(net, nn.Module):
            _refuse(net)
            return net
        return self.build(net, inputs, outputs, condition)


NETS = NetRegistry("network", __name__, checks=True)


def _refuse(net: nn.Module) -> None:
    """Refuses a module that cannot be called as `net(h, c)`."""
    try:
        inspect.signature(net.forward).bind(None, None)
    except TypeError:
        name = type(net).__name__
        raise DiaboloError(
            f"A module given as a network is called as net(h, c), with a condition c or None, but "
            f"{name}.forward takes {inspect.signature(net.forward)}: wrap it in a module whose "
            "forward takes (h, c=None)."
        ) from None


def set_start(net: nn.Module, start: Callable[[Tensor], Tensor | None], mean: Tensor) -> bool:
    """Sets the bias of a decoder's head so that training begins at the data's mean.

    A linear head starts at the raw numbers of every element's mean. A convolution has one bias a
    channel, and starts at the raw numbers of each channel's mean over the image.

    Arguments:
        net: A decoder with (N, W * E[0], *E[1:]) outputs.
        start: Maps a mean datum E to raw numbers (W, *E), as `Family.start` does, or to None.
        mean: The mean datum, in data units, with shape E.

    Returns:
        Whether a bias was set: False if the net has no such head, or the family no such start.
    """
    head = getattr(net, "head", None)
    if not isinstance(head, nn.Linear | nn.Conv2d) or head.bias is None:
        return False
    if isinstance(head, nn.Conv2d):
        # The mean first: the log-odds of a mean are not the mean of the log-odds.
        mean = mean.mean(dim=tuple(range(1, mean.ndim)), keepdim=True).expand_as(mean)
    raw = start(mean)
    if raw is None:
        return False
    if isinstance(head, nn.Conv2d):
        raw = raw.flatten(2).mean(-1)  # (W, channels)
    if prod(raw.shape) != len(head.bias):
        return False
    with torch.no_grad():
        head.bias.copy_(raw.flatten())
    return True
