"""The standard Laplace prior."""

from __future__ import annotations

from torch import nn

from ..distributions import Laplace
from ..spec import Spec
from ._standard import Standard

__all__ = ["laplace"]


def laplace(latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec) -> Standard:
    """Returns the standard Laplace prior, whose axes count: a rotation does not leave it alone.

    With `posterior=laplace` the rate has a closed form.
    """
    return Standard(Laplace, latent)
