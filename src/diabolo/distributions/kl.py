"""Kullback-Leibler divergences in closed form, in nats; None where there is none.

A density that knows its own divergence to another of its type defines
`kl_elements(self, other)`; nothing has to be listed here.
"""

from __future__ import annotations

from torch import Tensor

from .base import Distribution, total

__all__ = ["kl_divergence", "kl_elements"]


def kl_elements(q: Distribution, p: Distribution) -> Tensor | None:
    """Returns KL(q || p) of each element, (*, *E) in nats, or None without a closed form."""
    if type(q) is not type(p) or not isinstance(q, Distribution):
        return None
    return q.kl_elements(p)


def kl_divergence(q: Distribution, p: Distribution) -> Tensor | None:
    """Returns KL(q || p), (*) in nats, or None without a closed form."""
    elements = kl_elements(q, p)
    return None if elements is None else total(elements, q.event_ndim)
