"""What to maximise: functions Trace -> (B,), in nats per datum, larger is better. One file each.

An objective that depends on the rest of its batch, weighs samples by importance, or is no bound
says so (`declare`); the loop, the log and the evaluation ask for it (`declaration`). One that
changes in training is a `Schedule`, which the loop moves between steps.

Shapes: K posterior samples, B batch, L latent groups.
"""

from .base import Declaration, Terms, declaration, declare, posterior_of, terms
from .capacity import capacity
from .ciwae import ciwae
from .dreg import dreg
from .elbo import elbo
from .free_bits import free_bits
from .iwae import iwae
from .miwae import miwae
from .multiplier import Multiplier
from .piwae import piwae
from .ramp import Ramp
from .schedule import Aim, Schedule, Seen
from .sparse import sparse
from .stl import stl

__all__ = [
    "Aim",
    "Declaration",
    "Multiplier",
    "Ramp",
    "Schedule",
    "Seen",
    "Terms",
    "capacity",
    "ciwae",
    "declaration",
    "declare",
    "dreg",
    "elbo",
    "free_bits",
    "iwae",
    "miwae",
    "piwae",
    "posterior_of",
    "sparse",
    "stl",
    "terms",
]
