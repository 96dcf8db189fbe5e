"""Data: whole arrays, stored small, decoded in batches. `load` reads whatever a user has."""

from .data import Batch, Data, Splits
from .loading import Loaded, load, read
from .schema import Schema
from .sets import SETS

__all__ = ["SETS", "Batch", "Data", "Loaded", "Schema", "Splits", "load", "read"]
