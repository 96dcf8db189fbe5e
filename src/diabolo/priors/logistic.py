"""The standard logistic prior."""

from __future__ import annotations

from torch import nn

from ..distributions import Logistic
from ..spec import Spec
from ._standard import Standard

__all__ = ["logistic"]


def logistic(latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec) -> Standard:
    """Returns the standard logistic prior, with tails between those of `normal` and `laplace`.

    Its elements are the log-odds of uniform numbers. No posterior has a closed rate with it.
    """
    return Standard(Logistic, latent)
