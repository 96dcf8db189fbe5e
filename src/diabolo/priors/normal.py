"""The standard normal prior."""

from __future__ import annotations

from torch import nn

from ..distributions import Normal
from ..spec import Spec
from ._standard import Standard

__all__ = ["normal"]


def normal(latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec) -> Standard:
    """Returns the standard normal prior, which nothing else has a part in."""
    return Standard(Normal, latent)
