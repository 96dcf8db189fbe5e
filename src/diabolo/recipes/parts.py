"""What recipes are put together from: a view, a network and a likelihood that fit a spec."""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from ..distributions import Family, default_family, family
from ..errors import DiaboloError
from ..model import Conditional, View
from ..nets import NETS, Net
from ..spec import Spec

__all__ = ["default_net", "likelihood", "view"]


def default_net(spec: Spec) -> str:
    """Returns the network for data of this shape: dense for small ones, else convolutional."""
    return "conv" if len(spec.event) == 3 and prod(spec.event) > 1024 else "mlp"


def view(spec: Spec) -> View:
    """Returns what the encoder reads: standardised where the spec says so, with the mask."""
    if spec.scale is None:
        return View(spec.event, mask=spec.missing)
    return View(spec.event, mask=spec.missing, loc=spec.mean, scale=spec.scale)


def likelihood(spec: Spec, call: str | Family | None, net: Net, code: int) -> Conditional:
    """Returns p(x | code, c), in the data's own units.

    Arguments:
        spec: What is known of the data.
        call: A family, its name with options, or None for the default of the data's support.
        net: The decoder.
        code: The width of the code.

    Raises:
        DiaboloError: If the family has no density on the data's support.
    """
    members = family(call or default_family(spec.support), levels=spec.levels)
    if spec.support not in members.supports:
        raise DiaboloError(
            f"{type(members).__name__.removesuffix('Family')} needs "
            f"{' or '.join(sorted(members.supports))} x, but these data are '{spec.support}'. "
            f"Use likelihood='{default_family(spec.support)}', or change the data "
            "(binarize, dequantize)."
        )
    width = members.width(spec.event)
    outputs = (width * spec.event[0], *spec.event[1:])
    module = NETS.module(net, (code,), outputs, spec.condition)
    conditional = Conditional(module, members, spec.event)
    head = getattr(module, "head", None)
    start = None if spec.mean is None else members.start(spec.mean)
    if start is not None and isinstance(head, nn.Linear) and head.out_features == start.numel():
        with torch.no_grad():
            head.bias.copy_(start.flatten())
    return conditional
