"""Data: whole arrays, stored small, decoded in batches. `load` reads whatever a user has."""

from .data import Batch, Data, Splits

__all__ = ["Batch", "Data", "Splits"]
