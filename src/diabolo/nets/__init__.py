"""Networks: tensors to tensors, no probability. The folder is the registry.

A member is a function `name(inputs, outputs, condition=0, *, options) -> nn.Module` whose module
maps (N, *inputs) and a condition (N, C) or None to (N, *outputs). Each network ends in a linear
layer or convolution called `head`, whose bias may be set from the data.
"""

from __future__ import annotations

from torch import nn

from ..registry import Registry

__all__ = ["NETS", "Net"]

Net = str | nn.Module


class NetRegistry(Registry):
    """The networks by name; a user's own module passes through."""

    def module(
        self, net: Net, inputs: tuple[int, ...], outputs: tuple[int, ...], condition: int = 0
    ) -> nn.Module:
        """Returns the network that a name with options stands for, or the module as it is."""
        if isinstance(net, nn.Module):
            return net
        return self.build(net, inputs, outputs, condition)


NETS = NetRegistry("network", __name__)
