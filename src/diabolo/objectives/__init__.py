"""What to maximise: functions Trace -> (B,), in nats per datum, larger is better. One file each.

An objective that depends on the rest of its batch, weighs samples by importance, or is no bound
says so (`declare`); the loop, the log and the evaluation ask for it (`declaration`). One that
changes in training is a `Schedule`, which the loop moves between steps.

Shapes: K posterior samples, B batch, L latent groups.
"""

from .aggregate import Aggregate, aggregate
from .base import Declaration, Terms, declaration, declare, posterior_of, price, terms
from .capacity import capacity
from .ciwae import ciwae
from .cooling import Cooling
from .decorrelation import code_covariance, decorrelation
from .discrepancy import discrepancy, squared_mmd
from .dreg import dreg
from .elbo import elbo
from .free_bits import free_bits
from .iwae import iwae
from .miwae import miwae
from .multiplier import Multiplier
from .piwae import piwae
from .ramp import Ramp
from .relaxed import relaxed
from .schedule import Aim, Schedule, Seen
from .sparse import sparse
from .stl import stl
from .total_correlation import total_correlation
from .trimmed import trimmed

__all__ = [
    "Aggregate",
    "Aim",
    "Cooling",
    "Declaration",
    "Multiplier",
    "Ramp",
    "Schedule",
    "Seen",
    "Terms",
    "aggregate",
    "capacity",
    "ciwae",
    "code_covariance",
    "declaration",
    "declare",
    "decorrelation",
    "discrepancy",
    "dreg",
    "elbo",
    "free_bits",
    "iwae",
    "miwae",
    "piwae",
    "posterior_of",
    "price",
    "relaxed",
    "sparse",
    "squared_mmd",
    "stl",
    "terms",
    "total_correlation",
    "trimmed",
]
