"""Posteriors q(z | x, c): modules that return a density. The folder is the registry.

A member is a function `name(inputs, latent, condition, *, net, view, spec, options) -> nn.Module`,
whose module maps what the encoder sees (B, *inputs) and a condition (B, C) or None to a density
of z.
"""

from ..registry import Registry

__all__ = ["POSTERIORS"]

POSTERIORS = Registry("posterior", __name__)
