"""The only training loop: any recipe, any data, one hook."""

from .history import Diverged, History, Row, Stop
from .loop import fit, pick_device

__all__ = ["Diverged", "History", "Row", "Stop", "fit", "pick_device"]
