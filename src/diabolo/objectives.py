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

from .distributions import Distribution
from .errors import DiaboloError
from .model import Draw, Trace
from .ranks import batch_mean

__all__ = [
    "Declaration",
    "Terms",
    "Warmup",
    "declaration",
    "declare",
    "dreg",
    "elbo",
    "free_bits",
    "iwae",
    "terms",
]


class Declaration(NamedTuple):
    """What an objective says of itself.

    Attributes:
        batch_level: Whether the value of a datum depends on the rest of its batch.
        gathers: Whether it does so by `ranks.batch_mean`, over the parts of all processes.
        importance: Whether it averages samples by their importance weights.
        surrogate: Whether its value is no lower bound on log p(x).
        groups: How many latent groups it can take at most; None for any number.
    """

    batch_level: bool = False
    gathers: bool = False
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
    """Returns what an objective declares, through `partial` and `Warmup`.

    A price of the rate that is, or begins, below 1 makes any bound a surrogate.
    """
    price = 1.0
    while True:
        if isinstance(objective, Warmup):
            price = min(price, objective.beta, objective.start if objective.over > 0 else price)
            objective = objective.objective
        elif isinstance(objective, partial):
            price = min(price, float(objective.keywords.get("beta", price)))
            objective = objective.func
        else:
            break
    facts = getattr(objective, "declaration", Declaration())
    return facts._replace(surrogate=facts.surrogate or price < 1)


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


@declare(batch_level=True, gathers=True, surrogate=True)
def free_bits(
    t: Trace, *, nats: float, per: str = "dimension", beta: float | Tensor = 1.0
) -> Tensor:
    r"""ELBO in which each latent may spend some rate unpaid, judged on the batch's mean.

    .. math::
        \mathbb{E}_q[\log p(x \mid z)]
        - \beta \sum_j \max(\lambda, \mathbb{E}_{\text{batch}}[\mathrm{KL}_j])

    A latent whose mean rate over the batch lies below the floor costs each datum exactly the
    floor, so that no gradient reaches its rate; above it each datum pays its own rate.

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934, section 3.3 and appendix C.8

    Arguments:
        t: A trace.
        nats: The floor of each dimension's or each group's rate.
        per: `dimension` or `group`: what the floor applies to.
        beta: The price of one nat of rate.

    Returns:
        The objective in nats, (B,); no bound.

    Raises:
        DiaboloError: If the rate of a group does not split into dimensions.
    """
    value = t.log_px.mean(0)
    for i, d in enumerate(t.draws):
        if per == "group":
            rate = d.rate.mean(0)[:, None]  # (B, 1)
        else:
            elements = d.rate_elements
            if elements is None:
                raise DiaboloError(
                    f"Free bits per dimension need a rate that splits into dimensions, but group "
                    f"{i + 1} has no such closed form: use per='group'."
                )
            rate = elements.mean(0).flatten(1)  # (B, D)
        paid = torch.where(batch_mean(rate, 0) > nats, rate, nats)
        value = value - beta * paid.sum(1)
    return value - t.penalty


@declare(importance=True, groups=1)
def dreg(t: Trace) -> Tensor:
    r"""The importance-weighted bound with its doubly reparameterised gradient.

    .. math::
        \nabla_\phi = \mathbb{E}\Big[\sum_k \hat w_k^2 \,
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big]

    The value and the expected gradient are those of `iwae`; the encoder's gradient has a signal
    that does not vanish as K grows. It puts a hook on the trace's z, so that it is to be called
    once for a trace, and the penalty's gradient must not flow through z.

    References:
        | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives
        | (Tucker et al., 2019), https://arxiv.org/abs/1810.04152, eq. 8

    Arguments:
        t: A trace with one latent group whose posterior can be stopped.

    Returns:
        The bound in nats, (B,).

    Raises:
        DiaboloError: If there are several groups, or the posterior is unknown.
    """
    if len(t.draws) != 1:
        raise DiaboloError(
            f"DReG takes models with one latent group, but this one has {len(t.draws)}: a second "
            "group's samples would be weighed twice. Use the objective 'iwae'."
        )
    (d,) = t.draws
    weight = t.log_weight.softmax(0).detach()  # (K, B)
    log_q = _posterior(d, "DReG").detach().log_prob(d.z)  # no gradient to q's parameters but by z
    surrogate = (weight * (t.log_px + d.log_p - log_q)).sum(0) - t.penalty
    if d.z.requires_grad:  # evaluation has no gradient to weigh
        again = weight.reshape(*weight.shape, *[1] * (d.z.ndim - 2))

        def weigh(gradient: Tensor) -> Tensor:
            return gradient * again

        d.z.register_hook(weigh)
    return iwae(t).detach() + (surrogate - surrogate.detach())


def _posterior(d: Draw, what: str) -> Distribution:
    """The posterior of one group, which the objective called `what` cannot do without."""
    if not isinstance(d.q, Distribution):
        raise DiaboloError(
            f"{what} needs the posterior density q(z | x), but this model's latent has none to "
            "give. Use the objective 'elbo' or 'iwae'."
        )
    return d.q
