"""What recipes are put together from: a view, a network and a likelihood that fit a spec."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from ..distributions import Family, StandardizedFamily, default_family, family
from ..errors import DiaboloError, unknown
from ..model import Conditional, Trace
from ..nets import NETS, Net, set_start
from ..objectives import Warmup, elbo
from ..spec import Spec
from ..views import default_view

__all__ = ["at_least", "choice", "default_net", "likelihood", "nets", "view", "warmed"]


def at_least(least: float, **options: float) -> None:
    """Refuses an option below `least`: `at_least(1, latent=latent)`.

    Raises:
        DiaboloError: Naming the option.
    """
    for name, value in options.items():
        if not value >= least:
            raise DiaboloError(f"{name} must be at least {least}, not {value}.")


def choice(known: tuple[str, ...], **options: str) -> None:
    """Refuses an option that is none of the known words.

    Raises:
        DiaboloError: With the nearest of them.
    """
    for name, value in options.items():
        if value not in known:
            raise unknown(name, str(value), known)


def warmed(warmup: float) -> Callable[[Trace], Tensor]:
    """Returns the ELBO with a price of the rate that rises to 1 over this part of training.

    Raises:
        DiaboloError: If it is no part.
    """
    if not 0 <= warmup <= 1:
        raise DiaboloError(f"warmup is a part of training, between 0 and 1, not {warmup}.")
    return Warmup(elbo, over=warmup) if warmup else elbo


def default_net(spec: Spec) -> str:
    """Returns the network for data of this shape: dense for small ones, else convolutional."""
    return "conv" if len(spec.event) == 3 and prod(spec.event) > 1024 else "mlp"


def nets(spec: Spec, net: Net | None, decoder: Net | None) -> tuple[Net, Net]:
    """Returns the encoder and the decoder that the options `net` and `decoder` ask for.

    Raises:
        DiaboloError: If one module would have to be both.
    """
    if isinstance(net, nn.Module) and (decoder is None or decoder is net):
        raise DiaboloError(
            "A module given as net is the encoder only: give the decoder too, or a network's name."
        )
    net = net or default_net(spec)
    return net, decoder or net


def view(spec: Spec) -> tuple[nn.Module, tuple[int, ...]]:
    """Returns what the encoder reads of data of this spec and their mask, and its shape."""
    module = default_view(spec)
    return module, tuple(module.shape)  # type: ignore[arg-type]


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
    members = family(call or default_family(spec.support), levels=spec.levels, support=spec.support)
    if spec.support not in members.supports:
        raise DiaboloError(
            f"{type(members).__name__.removesuffix('Family')} needs "
            f"{' or '.join(sorted(members.supports))} x, but these data are '{spec.support}'. "
            f"Use likelihood='{default_family(spec.support)}', or change the data "
            "(binarize, dequantize)."
        )
    if spec.scale is not None:
        loc = torch.zeros_like(spec.scale) if spec.mean is None else spec.mean
        members = StandardizedFamily(members, loc, spec.scale)
    members.prepare(spec.event, spec.resolution)
    width = members.width(spec.event)
    outputs = (width * spec.event[0], *spec.event[1:])
    module = NETS.module(net, (code,), outputs, spec.condition)
    conditional = Conditional(module, members, spec.event)
    if spec.mean is not None:
        set_start(module, members.start, spec.mean)
    return conditional
