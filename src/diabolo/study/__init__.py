"""Many ordinary runs: a search for hyper-parameters, and the rate-distortion curve of a model."""

from .curve import Excess, Exchange, Point, Shortfall, Tradeoff
from .result import Search, Trial
from .search import search
from .space import Choice, Range, default_space, parse_space
from .tradeoff import tradeoff

__all__ = [
    "Choice",
    "Excess",
    "Exchange",
    "Point",
    "Range",
    "Search",
    "Shortfall",
    "Tradeoff",
    "Trial",
    "default_space",
    "parse_space",
    "search",
    "tradeoff",
]
