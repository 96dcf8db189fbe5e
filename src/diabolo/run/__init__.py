"""A fitted model with all that belongs to it: a folder on disk, and the front door `fit`."""

from .fit import fit
from .latents import Codes, Latents
from .load import load
from .refit import refit
from .resume import resume
from .run import Run
from .training import Event, Interrupted

__all__ = ["Codes", "Event", "Interrupted", "Latents", "Run", "fit", "load", "refit", "resume"]
