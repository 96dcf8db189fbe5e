"""What to maximise: functions Trace -> (B,), in nats per datum, larger is better.

An objective that depends on the rest of its batch, weighs samples by importance, or is no bound
says so (`declare`); the loop, the log and the evaluation ask for it (`declaration`).

Shapes: K posterior samples, B batch, L latent groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .model import Trace

__all__ = [
    "Declaration",
    "Terms",
    "Warmup",
    "declaration",
    "declare",
    "elbo",
    "iwae",
    "terms",
]


class Declaration(NamedTuple):
    """What an objective says of itself.

    Attributes:
        batch_level: Whether the value of a datum depends on the rest of its batch.
        importance: Whether it averages samples by their importance weights.
        surrogate: Whether its value is no lower bound on log p(x).
        groups: How many latent groups it can take at most; None for any number.
    """

    batch_level: bool = False
    importance: bool = False
    surrogate: bool = False
    groups: int | None = None


class Warmup(nn.Module):
    """An objective with a price of the rate that rises from `start` to `beta`.

    The price is a buffer: it is saved, resumed, and never recompiles a graph.

    Arguments:
        objective: A function of a trace and `beta`.
        beta: The final price of one nat of rate.
        start: The first price.
        over: The part of training over which the price rises linearly.
    """

    price: Tensor

    def __init__(
        self,
        objective: Callable[..., Tensor],
        *,
        beta: float = 1.0,
        start: float = 0.0,
        over: float = 0.1,
    ) -> None:
        super().__init__()
        self.objective, self.beta, self.start, self.over = objective, beta, start, over
        self.register_buffer("price", torch.tensor(float(start if over > 0 else beta)))

    def advance(self, progress: float) -> None:
        """Sets the price for this part of training, 0 at its start and 1 at its end."""
        part = min(progress / self.over, 1.0) if self.over > 0 else 1.0
        self.price.fill_(self.start + (self.beta - self.start) * part)

    def forward(self, t: Trace) -> Tensor:
        """Returns the objective at the present price, (B,)."""
        return self.objective(t, beta=self.price)


def declare(**facts: Any) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorates an objective with its `Declaration`."""

    def mark(objective: Callable[..., Tensor]) -> Callable[..., Tensor]:
        objective.declaration = Declaration(**facts)  # type: ignore[attr-defined]
        return objective

    return mark


def declaration(objective: Callable[..., Tensor]) -> Declaration:
    """Returns what an objective declares, through `partial` and `Warmup`."""
    while isinstance(objective, partial | Warmup):
        objective = objective.func if isinstance(objective, partial) else objective.objective
    return getattr(objective, "declaration", Declaration())


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

    An importance-weighted bound averages by the normalised weights :math:`\hat w`, for which

    .. math::
        \log \tfrac1K \sum_k w_k = \sum_k \hat w_k \log w_k
        - \mathrm{KL}(\hat w \,\|\, \text{uniform}),

    and its price of resampling, the divergence, counts as penalty.
    """
    value = objective(t)
    if declaration(objective).importance:
        weight = t.log_weight.detach().softmax(0)  # (K, B)
        rates = [d.log_q - d.log_p for d in t.draws]
    else:
        weight = torch.full_like(t.log_px, 1 / t.log_px.shape[0]).detach()
        rates = [d.rate for d in t.draws]
    distortion = -(weight * t.log_px).sum(0)
    rate = torch.stack([(weight * r).sum(0) for r in rates])
    return Terms(value, distortion, rate, -value - distortion - rate.sum(0))


def elbo(t: Trace, *, beta: float | Tensor = 1.0) -> Tensor:
    r"""Evidence lower bound, its rate in closed form where there is one.

    .. math:: \mathbb{E}_q[\log p(x \mid z)] - \beta \, \mathrm{KL}(q(z \mid x) \,\|\, p(z))

    A price `beta` above 1 gives a looser bound; below 1, no bound.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 3
        | https://arxiv.org/abs/1312.6114
        | beta-VAE (Higgins et al., 2017), eq. 4

    Arguments:
        t: A trace.
        beta: The price of one nat of rate.

    Returns:
        The bound in nats, (B,).
    """
    value = t.log_px
    for d in t.draws:
        value = value - beta * d.rate
    return value.mean(0) - t.penalty


@declare(importance=True)
def iwae(t: Trace) -> Tensor:
    r"""Importance-weighted bound.

    .. math:: \log \tfrac1K \sum_k p(x, z_k) / q(z_k \mid x)

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8
        | https://arxiv.org/abs/1509.00519

    Arguments:
        t: A trace with K samples; K = 1 gives the one-sample ELBO.

    Returns:
        The bound in nats, (B,).
    """
    return t.log_weight.logsumexp(0) - math.log(t.log_weight.shape[0]) - t.penalty
