"""Priors p(z | c): modules that return a density. The folder is the registry.

A member is a function `name(latent, condition, *, posterior, spec, options) -> nn.Module`, whose
module maps a condition (B, C) or None to a density of z, (latent,).
"""

from ..registry import Registry

__all__ = ["PRIORS"]

PRIORS = Registry("prior", __name__)
