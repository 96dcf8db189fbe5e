"""Trackers: `trackers/<name>.py` defines `<name>(place, *, options) -> Tracker`.

They are fed by the one hook of a training, and beside the history that every run keeps.
"""

from ._base import Place, Tracker, numbers, settings
from ._tracking import TRACKERS, Tracking

__all__ = ["TRACKERS", "Place", "Tracker", "Tracking", "numbers", "settings"]
