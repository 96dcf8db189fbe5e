"""Search for hyper-parameters: many ordinary runs, of which the best by validation is kept."""

from .result import Search, Trial
from .search import search
from .space import Choice, Range, default_space, parse_space

__all__ = ["Choice", "Range", "Search", "Trial", "default_space", "parse_space", "search"]
