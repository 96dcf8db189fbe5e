"""Numbers that can be trusted: bounds and likelihoods with their errors, rates, active units."""

from .accuracy import accuracy
from .aggregate import AggregatePosterior, aggregate_posterior
from .annealed import Sandwich, Start, annealed, bidirectional
from .behaviours import hoyer, jacobian_norm, probe_accuracy
from .bounds import Bound, bound, distortion
from .dependence import exchange, sensitivity
from .diagnosis import Diagnosis, Section, diagnose
from .estimate import Estimate, Kind, difference
from .exact import exact
from .graph import Compile
from .likelihood import log_likelihood
from .pareto import pareto_shape
from .passes import Precision, draw_digest
from .quantity import Quantity
from .report import Evaluation, evaluate
from .units import ActiveUnits, active_units
from .verdict import Finding

__all__ = [
    "ActiveUnits",
    "AggregatePosterior",
    "Bound",
    "Compile",
    "Diagnosis",
    "Estimate",
    "Evaluation",
    "Finding",
    "Kind",
    "Precision",
    "Quantity",
    "Sandwich",
    "Section",
    "Start",
    "accuracy",
    "active_units",
    "aggregate_posterior",
    "annealed",
    "bidirectional",
    "bound",
    "diagnose",
    "difference",
    "distortion",
    "draw_digest",
    "evaluate",
    "exact",
    "exchange",
    "hoyer",
    "jacobian_norm",
    "log_likelihood",
    "pareto_shape",
    "probe_accuracy",
    "sensitivity",
]
