"""How good samples are, beside data: distances, neighbours, tests, copies and sharpness."""

from .comparison import Comparison
from .features import FeatureKind
from .frechet import frechet, frechet_distance
from .kernel import kernel_distance
from .manifolds import Manifolds, manifolds
from .nearest import Nearest, Pair, nearest_training
from .quality import SampleQuality, sample_quality
from .sharpness import sharpness
from .two_sample import TwoSampleTest, two_sample_test

__all__ = [
    "Comparison",
    "FeatureKind",
    "Manifolds",
    "Nearest",
    "Pair",
    "SampleQuality",
    "TwoSampleTest",
    "frechet",
    "frechet_distance",
    "kernel_distance",
    "manifolds",
    "nearest_training",
    "sample_quality",
    "sharpness",
    "two_sample_test",
]
