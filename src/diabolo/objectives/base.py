"""What an objective says of itself, and what its value is made of.

An objective that depends on the rest of its batch, weighs samples by importance, or is no bound
says so (`declare`); the loop, the log and the evaluation ask for it (`declaration`).

Shapes: K posterior samples, B batch, L latent groups.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..distributions import Distribution
from ..errors import DiaboloError
from ..model import Draw, Trace
from .schedule import Schedule

__all__ = [
    "Declaration",
    "Terms",
    "declaration",
    "declare",
    "only_draw",
    "posterior_of",
    "price",
    "sampled",
    "terms",
]


class Declaration(NamedTuple):
    """What an objective says of itself.

    Attributes:
        batch_level: Whether the value of a datum depends on the rest of its batch.
        gathers: Whether it does so by the functions `ranks.batch_...`, over the parts of all
            processes.
        importance: Whether it averages samples by their importance weights; a function of the
            trace and the objective's options gives others than those of all K samples, (K, B).
        surrogate: Whether its value is no lower bound on log p(x).
        groups: How many latent groups it can take at most; None for any number.
        trims: Whether it leaves out the worst data of a batch, and has an option `beta`.
        price: The option that prices the rate, with which below 1 it is no bound; None for none.
    """

    batch_level: bool = False
    gathers: bool = False
    importance: bool | Callable[..., Tensor] = False
    surrogate: bool = False
    groups: int | None = None
    trims: bool = False
    price: str | None = "beta"


def declare(**facts: Any) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorates an objective with its `Declaration`."""

    def mark(objective: Callable[..., Tensor]) -> Callable[..., Tensor]:
        objective.declaration = Declaration(**facts)  # type: ignore[attr-defined]
        return objective

    return mark


def declaration(objective: Callable[..., Tensor]) -> Declaration:
    """Returns what an objective declares, through `partial` and `Schedule`.

    A price of the rate that is, or becomes, less than 1 makes any bound a surrogate.
    """
    function, options = _bare(objective, lambda schedule: schedule.now)
    _, least = _bare(objective, lambda schedule: schedule.least)
    facts = getattr(function, "declaration", Declaration())
    if facts.price is not None and float(least.get(facts.price, 1.0)) < 1:
        facts = facts._replace(surrogate=True)
    if callable(facts.importance) and options:
        facts = facts._replace(importance=partial(facts.importance, **options))
    return facts


def price(objective: Callable[..., Tensor], *, now: bool = False) -> float | None:
    """Returns the beta of -D - beta R, if that is what a training ends by maximising.

    Arguments:
        objective: What is maximised.
        now: Take a price that training finds as it is now: after it, that of the weights kept.

    Returns:
        The price of one nat of rate; None where the objective is another (importance-weighted,
        or a surrogate), or where training finds the price.
    """
    function, given = _bare(objective, lambda s: s.now if now and s.end is None else s.end)
    facts = getattr(function, "declaration", Declaration())
    known = inspect.signature(function).parameters
    if facts.surrogate or facts.importance or facts.price not in known:
        return None
    value = given.get(facts.price, known[facts.price].default)
    return None if value is None else float(value)


def _bare(
    objective: Callable[..., Tensor], moved: Callable[[Schedule], Any]
) -> tuple[Callable[..., Tensor], dict[str, Any]]:
    """Returns the function within `partial` and `Schedule`, and the options that they give it.

    Arguments:
        objective: What is maximised.
        moved: Returns what is told of an option that moves.
    """
    options: dict[str, Any] = {}
    while True:
        if isinstance(objective, Schedule):
            if objective.option is not None:
                options = {objective.option: moved(objective), **options}
            objective = objective.objective
        elif isinstance(objective, partial):
            options = {**objective.keywords, **options}
            objective = objective.func
        else:
            return objective, options


class Terms(NamedTuple):
    """An objective taken apart: value = -distortion - sum of rates - penalty, exactly.

    Attributes:
        value: The objective, (B,).
        distortion: -log p(x|z) under the objective's own average over samples, (B,).
        rate: Of each latent group, under the same average, (L, B).
        penalty: All the rest: charges of the model, and what a price of the rate other than 1,
            free bits or a surrogate add, (B,).
    """

    value: Tensor
    distortion: Tensor
    rate: Tensor
    penalty: Tensor


def terms(objective: Callable[[Trace], Tensor], t: Trace) -> Terms:
    r"""Returns an objective's value and what it is made of.

    An importance-weighted bound averages by the normalised weights :math:`\hat w`, for which, with
    the shares s of the samples (1 / K, or q of values that are enumerated),

    .. math::
        \log \sum_k s_k w_k = \sum_k \hat w_k \log w_k - \mathrm{KL}(\hat w \,\|\, s),

    and its price of resampling, the divergence, counts as penalty.
    """
    value = objective(t)
    importance = declaration(objective).importance
    if importance:
        weight = (importance(t) if callable(importance) else t.importance).detach()  # (K, B)
        rates = [d.log_q - d.log_p for d in t.draws]
    else:
        weight = t.share.detach()
        rates = [d.rate for d in t.draws]
    distortion = -(weight * t.log_px).sum(0)
    rate = torch.stack([(weight * r).sum(0) for r in rates])
    return Terms(value, distortion, rate, -value - distortion - rate.sum(0))


def only_draw(t: Trace, what: str, why: str) -> Draw:
    """The one group of samples of a trace, which the objective called `what` is made for.

    Raises:
        DiaboloError: If there are several groups, with the reason `why`, or z is enumerated.
    """
    sampled(t, what)
    if len(t.draws) != 1:
        raise DiaboloError(
            f"{what} takes models with one latent group, but this one has {len(t.draws)}: {why}. "
            "Use the objective 'elbo' or 'iwae'."
        )
    return t.draws[0]


def sampled(t: Trace, what: str) -> None:
    """Refuses a trace whose z is no sample, for the objective called `what`.

    Raises:
        DiaboloError: Naming an objective that will do.
    """
    if t.log_share is not None:
        raise DiaboloError(
            f"{what} is made of samples of z, but this model goes through all values of z, each "
            "with its probability. Use the objective 'elbo', which has no error then."
        )


def posterior_of(d: Draw, what: str) -> Distribution:
    """The posterior of one group, which the objective called `what` cannot do without."""
    if not isinstance(d.q, Distribution):
        raise DiaboloError(
            f"{what} needs the posterior density q(z | x), but this model's latent has none to "
            "give. Use the objective 'elbo' or 'iwae'."
        )
    return d.q
