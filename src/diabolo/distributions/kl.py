"""Kullback-Leibler divergences in closed form, in nats; None where there is none.

A density that knows its own divergence to another of its type, element by element, defines
`kl_elements(self, other)`. One whose elements depend on one another, or that knows its divergence
to or from another type, defines `kl_to(self, other)` or `kl_from(self, other)`, as a new type of
numbers defines `__sub__` and `__rsub__`. Nothing has to be listed here.
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
    if elements is not None:
        return total(elements, q.event_ndim)
    found = q.kl_to(p) if isinstance(q, Distribution) else None
    if found is None and isinstance(p, Distribution):
        return p.kl_from(q)
    return found
