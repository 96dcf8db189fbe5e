"""Ways to hold a latent: each answers infer (forward), sample and assemble."""

from .amortized import Amortized

__all__ = ["Amortized"]
