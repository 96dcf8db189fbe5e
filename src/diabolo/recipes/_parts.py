"""What recipes are put together from: a view, a network and a likelihood that fit a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from ..distributions import (
    Family,
    ProductFamily,
    StandardizedFamily,
    default_column,
    default_family,
    family,
)
from ..errors import DiaboloError, unknown
from ..model import Conditional, Trace
from ..nets import NETS, Net, set_start
from ..objectives import Ramp, elbo
from ..spec import SUPPORTS, Spec
from ..views import default_view

__all__ = [
    "Jacobian",
    "Likelihood",
    "above",
    "at_least",
    "choice",
    "default_net",
    "divides",
    "exact",
    "fraction",
    "independent",
    "likelihood",
    "nets",
    "unused",
    "view",
    "warmed",
]

# A mapping tells of some columns of a table, by their names or their kinds.
Likelihood = str | Family | Mapping[str, str]
Jacobian = Literal["auto", "exact", "estimate"]
FEW = 8  # gradients for each datum that are worth a Jacobian without error


def above(bound: float, **options: float) -> None:
    """Refuses an option that is not above `bound`: `above(0, gamma=gamma)`.

    Raises:
        DiaboloError: Naming the option.
    """
    for name, value in options.items():
        if not value > bound:
            raise DiaboloError(f"{name} must be above {bound}, not {value}.")


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


def divides(k: int, **options: int) -> None:
    """Refuses an option that is not a divisor of k: `divides(k, bounds=bounds)`.

    Raises:
        DiaboloError: Naming the option.
    """
    for name, value in options.items():
        if value < 1 or k % value:
            raise DiaboloError(f"{name} must divide k={k}, but it is {value}.")


def unused(why: str, **options: object) -> None:
    """Refuses options that were given but have no effect: `unused("sparsity='kl'", active=4)`.

    Raises:
        DiaboloError: Naming the option.
    """
    for name, value in options.items():
        if value not in (None, "auto"):
            raise DiaboloError(f"{name} has no effect with {why}.")


def exact(jacobian: Jacobian, latent: int) -> bool:
    """Returns whether a Jacobian is to be found exactly; `auto` means up to 8 latent elements.

    Raises:
        DiaboloError: If the word is unknown.
    """
    choice(("auto", "exact", "estimate"), jacobian=jacobian)
    return jacobian == "exact" or (jacobian == "auto" and latent <= FEW)


def fraction(**options: float) -> None:
    """Refuses an option that is no part of training: `fraction(warmup=warmup)`.

    Raises:
        DiaboloError: Naming the option.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise DiaboloError(f"{name} is a part of training, between 0 and 1, not {value}.")


def independent(posterior: nn.Module, owner: str) -> None:
    """Refuses a posterior whose elements depend on one another, for the recipe `owner`.

    Raises:
        DiaboloError: Naming posteriors that will do.
    """
    if not isinstance(posterior, Conditional):  # the others have no density of one element
        raise DiaboloError(
            f"{owner} needs a posterior whose elements are independent for each datum, such as "
            "posterior='normal' or 'laplace'."
        )


def warmed(
    warmup: float,
    objective: Callable[..., Tensor] = elbo,
    *,
    beta: float = 1.0,
    cycles: int = 1,
) -> Callable[[Trace], Tensor]:
    """Returns an objective with a price of the rate that rises to `beta`.

    Arguments:
        warmup: The part of training, or of each cycle, over which it rises from 0.
        objective: A function of a trace and `beta`.
        beta: The final price.
        cycles: How often it starts again.

    Raises:
        DiaboloError: If `warmup` is no part, or cycles have nothing to repeat.
    """
    fraction(warmup=warmup)
    at_least(1, cycles=cycles)
    if cycles > 1 and not warmup:
        raise DiaboloError("cycles has an effect with warmup above 0 only.")
    if warmup:
        return Ramp(objective, end=beta, over=warmup, cycles=cycles)
    return objective if beta == 1 else partial(objective, beta=beta)


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


def likelihood(spec: Spec, call: Likelihood | None, net: Net, code: int) -> Conditional:
    """Returns p(x | code, c), in the data's own units.

    Arguments:
        spec: What is known of the data.
        call: A family, its name with options, a mapping of columns of a table, or of kinds of
            columns such as `real`, to such names (a column's own goes before its kind's), or None
            for the default of the data's support.
        net: The decoder.
        code: The width of the code.

    Raises:
        DiaboloError: If the family has no density on the data's support, or a column is unknown.
    """
    usual = default_family(spec.support, spec.kinds)
    if isinstance(call, Mapping):
        call = _by_name(spec, call)
    members = family(call or usual, levels=spec.levels, support=spec.support)
    if spec.support not in members.supports:
        wanted = sorted(members.supports)
        near = "real" if "real" in wanted else wanted[0]
        change = "change the data (binarize, dequantize)"
        if spec.support not in ("unit", "byte"):  # of which nothing else can be made
            change = f"if that is what they are, say data.support='{near}'"
        raise DiaboloError(
            f"{type(members).__name__.removesuffix('Family')} needs {' or '.join(wanted)} x, but "
            f"these data are '{spec.support}'. Use likelihood='{usual}', or {change}."
        )
    if isinstance(members, ProductFamily):
        members.check(spec.kinds, spec.names)
    if spec.scale is not None:
        loc = torch.zeros_like(spec.scale) if spec.mean is None else spec.mean
        if isinstance(members, ProductFamily):
            members = members.standardized(loc, spec.scale)
        else:
            members = StandardizedFamily(members, loc, spec.scale)
    members.prepare(spec.event, spec.resolution, spec.mean)
    width = members.width(spec.event)
    outputs = (width * spec.event[0], *spec.event[1:])
    module = NETS.module(net, (code,), outputs, spec.condition)
    conditional = Conditional(module, members, spec.event)
    if spec.mean is not None:
        set_start(module, members.start, spec.mean)
    return conditional


def _by_name(spec: Spec, calls: Mapping[str, str]) -> ProductFamily:
    """Returns the densities of a table's columns, some of which are said by name or by kind."""
    named = {name for name in calls if name not in SUPPORTS or name in spec.names}
    if spec.support != "mixed" or (named and not spec.names):
        raise DiaboloError(
            "Likelihoods by name are for tables: give one for all elements, as in "
            "likelihood='Normal'."
        )
    for name in named:
        if name not in spec.names:
            raise unknown("column in likelihood", name, spec.names)
    columns = []
    for i, kind in enumerate(spec.kinds):
        support, _, levels = kind.partition(":")
        call = calls.get(spec.names[i]) if spec.names else None
        call = call or (None if support in spec.names else calls.get(support))
        of = family(
            call or default_column(kind), levels=int(levels) if levels else None, support=support
        )
        columns.append(of)
    return ProductFamily(columns=tuple(columns))
