"""What people do with a fitted model: one file a job, each a function of a run and data.

A job asks the run's model for densities, draws and codes, and trains nothing of its own that the
one training loop could train. What it returns is in the user's layout.
"""

from .anomalies import AnomalyResult, anomalies
from .attribution import attribution
from .balance import Balanced, balance
from .classifier import Classifier, classifier
from .conformal import conformal_p_values, discoveries
from .impute import Imputation, impute
from .referee import Gain, Referee, referee
from .scores import SCORES
from .synthesis import Judged, Synthesis, SynthesisReport, synthesis_report, synthesize

__all__ = [
    "SCORES",
    "AnomalyResult",
    "Balanced",
    "Classifier",
    "Gain",
    "Imputation",
    "Judged",
    "Referee",
    "Synthesis",
    "SynthesisReport",
    "anomalies",
    "attribution",
    "balance",
    "classifier",
    "conformal_p_values",
    "discoveries",
    "impute",
    "referee",
    "synthesis_report",
    "synthesize",
]
