"""Numbers that can be trusted: bounds and likelihoods with their errors, rates, active units."""

from .accuracy import accuracy
from .aggregate import AggregatePosterior, aggregate_posterior
from .annealed import Sandwich, Start, annealed, bidirectional
from .behaviours import hoyer, jacobian_norm, probe_accuracy
from .bounds import Bound, bound, distortion
from .calibration import Calibration, pit, posterior_ranks
from .completion import Completion, Middle, complete
from .dependence import exchange, sensitivity
from .diagnosis import Diagnosis, Section, diagnose
from .estimate import Estimate, Kind, difference
from .exact import exact
from .graph import Compile
from .likelihood import log_likelihood
from .linear import LinearOptima, LinearOptimum, Water, linear_optima, water_filling
from .pareto import pareto_shape
from .passes import Precision, draw_digest
from .quantity import Quantity
from .refinement import Refinement, refine
from .reliability import Reliability, reliability
from .report import Evaluation, evaluate
from .samples import (
    Comparison,
    Manifolds,
    Nearest,
    Pair,
    SampleQuality,
    TwoSampleTest,
    frechet,
    frechet_distance,
    kernel_distance,
    manifolds,
    nearest_training,
    sample_quality,
    sharpness,
    two_sample_test,
)
from .units import ActiveUnits, active_units
from .verdict import Finding

__all__ = [
    "ActiveUnits",
    "AggregatePosterior",
    "Bound",
    "Calibration",
    "Comparison",
    "Compile",
    "Completion",
    "Diagnosis",
    "Estimate",
    "Evaluation",
    "Finding",
    "Kind",
    "LinearOptima",
    "LinearOptimum",
    "Manifolds",
    "Middle",
    "Nearest",
    "Pair",
    "Precision",
    "Quantity",
    "Refinement",
    "Reliability",
    "SampleQuality",
    "Sandwich",
    "Section",
    "Start",
    "TwoSampleTest",
    "Water",
    "accuracy",
    "active_units",
    "aggregate_posterior",
    "annealed",
    "bidirectional",
    "bound",
    "complete",
    "diagnose",
    "difference",
    "distortion",
    "draw_digest",
    "evaluate",
    "exact",
    "exchange",
    "frechet",
    "frechet_distance",
    "hoyer",
    "jacobian_norm",
    "kernel_distance",
    "linear_optima",
    "log_likelihood",
    "manifolds",
    "nearest_training",
    "pareto_shape",
    "pit",
    "posterior_ranks",
    "probe_accuracy",
    "refine",
    "reliability",
    "sample_quality",
    "sensitivity",
    "sharpness",
    "two_sample_test",
    "water_filling",
]
