"""Numbers that can be trusted: bounds and likelihoods with their errors, rates, active units."""

from .accuracy import accuracy
from .aggregate import AggregatePosterior, aggregate_posterior
from .annealed import Sandwich, Start, annealed, bidirectional
from .behaviours import hoyer, jacobian_norm, probe_accuracy
from .bounds import Bound, bound, distortion
from .estimate import Estimate, Kind, difference
from .exact import exact
from .graph import Compile
from .likelihood import log_likelihood
from .pareto import pareto_shape
from .passes import Precision, draw_digest
from .quantity import Quantity
from .report import Evaluation, evaluate
from .units import ActiveUnits, active_units

__all__ = [
    "ActiveUnits",
    "AggregatePosterior",
    "Bound",
    "Compile",
    "Estimate",
    "Evaluation",
    "Kind",
    "Precision",
    "Quantity",
    "Sandwich",
    "Start",
    "accuracy",
    "active_units",
    "aggregate_posterior",
    "annealed",
    "bidirectional",
    "bound",
    "difference",
    "distortion",
    "draw_digest",
    "evaluate",
    "exact",
    "hoyer",
    "jacobian_norm",
    "log_likelihood",
    "pareto_shape",
    "probe_accuracy",
]
