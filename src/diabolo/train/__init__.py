"""The only training loop: any recipe, any data, one hook."""

from .history import Diverged, History, Row, Stop
from .loop import fit
from .settings import clipped, computing, pick_device
from .validate import selector

__all__ = [
    "Diverged",
    "History",
    "Row",
    "Stop",
    "clipped",
    "computing",
    "fit",
    "pick_device",
    "selector",
]
