r"""What one pass through a model revealed: how z was drawn, and what each density thinks of it.

Averages over q(z | x) are sums over samples: equal parts of K that were drawn, or, of values that
were gone through one by one, each with its probability (`Trace.log_share`).

Shapes: K posterior samples, B batch, D latent shape.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .distributions import Distribution, kl_divergence, kl_elements

__all__ = ["Draw", "Inferred", "Trace"]


class Draw(NamedTuple):
    """One group of latents: z ~ q, and what each side thinks of it.

    Attributes:
        z: The samples, (K, B, *D).
        log_q: log q(z | x, c) in nats, (K, B).
        log_p: log p(z | c) in nats, (K, B).
        q: The posterior, kept for closed forms; None where it has none.
        p: The prior, likewise.
    """

    z: Tensor
    log_q: Tensor
    log_p: Tensor
    q: Distribution | None = None
    p: Distribution | None = None

    @property
    def rate(self) -> Tensor:
        """KL(q || p) in closed form where there is one, else log q - log p; (K, B), nats."""
        if self.q is None or self.p is None:
            return self.log_q - self.log_p
        kl = kl_divergence(self.q, self.p)
        return self.log_q - self.log_p if kl is None else kl.expand_as(self.log_q)

    @property
    def rate_elements(self) -> Tensor | None:
        """The rate of each latent element in nats, (K, B, *D); None if it does not split."""
        if self.q is None or self.p is None:
            return None
        kl = kl_elements(self.q, self.p)
        return None if kl is None else kl.expand_as(self.z)


class Trace(NamedTuple):
    """Everything that one pass revealed.

    Attributes:
        px: p(x | z, c), with batch shape (K, B).
        log_px: log p(x | z, c) of the seen entries in nats, (K, B).
        draws: One `Draw` for each group of latents.
        penalty: Charges that are no log-density, (B,) or ().
        log_share: The logarithm of the part that each sample has in averages over q, (K, B); None
            where all have 1 / K. Of values that are gone through and not drawn, it is log q.
    """

    px: Distribution
    log_px: Tensor
    draws: tuple[Draw, ...]
    penalty: Tensor
    log_share: Tensor | None = None

    @property
    def log_weight(self) -> Tensor:
        """The importance weight, log p(x, z | c) - log q(z | x, c) in nats, (K, B)."""
        weight = self.log_px
        for d in self.draws:
            weight = weight + (d.log_p - d.log_q)
        return weight

    @property
    def share(self) -> Tensor:
        """The part that each sample has in averages over q, (K, B); they sum to one."""
        if self.log_share is None:
            return torch.full_like(self.log_px, 1 / len(self.log_px))
        return self.log_share.exp()

    @property
    def importance(self) -> Tensor:
        """The part that each sample has in averages over p(z | x): weights, normalised, (K, B)."""
        shared = 0.0 if self.log_share is None else self.log_share
        return (self.log_weight + shared).softmax(0)

    def average(self, values: Tensor) -> Tensor:
        """Returns the mean over q, (B, *), of values (K, B, *)."""
        if self.log_share is None:
            return values.mean(0)
        return (self.share[(..., *[None] * (values.ndim - 2))] * values).sum(0)

    def log_average(self, log_values: Tensor) -> Tensor:
        """Returns the logarithm of the mean over q, (B,), of what has these logarithms, (K, B)."""
        if self.log_share is None:
            return log_values.logsumexp(0) - math.log(len(log_values))
        return (log_values + self.log_share).logsumexp(0)


class Inferred(NamedTuple):
    """What a latent found in x: the code that the likelihood reads, and how it was drawn.

    Attributes:
        code: (K, B, *).
        draws: One `Draw` for each group of latents.
        penalty: Charges that are no log-density, (B,) or ().
        log_share: As in `Trace`.
    """

    code: Tensor
    draws: tuple[Draw, ...]
    penalty: Tensor
    log_share: Tensor | None = None
