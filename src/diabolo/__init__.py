"""Autoencoders and variational autoencoders whose numbers can be trusted.

Names are resolved on use, so that importing this package imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        data,
        distributions,
        estimators,
        evaluate,
        exports,
        latents,
        nets,
        objectives,
        panels,
        posteriors,
        priors,
        recipes,
        tasks,
    )
    from .config import DataConfig, RunConfig, TrainConfig
    from .data import Batch, Data, Schema, Splits
    from .distributions import Distribution, Family
    from .errors import DiaboloError, DiaboloWarning
    from .exports import Exported, export
    from .model import Conditional, Draw, LatentModel, Recipe, Trace
    from .recipes import build
    from .reports import Compared, Report, compare, report
    from .run import Codes, Interrupted, Run, fit, load, refit, resume
    from .spec import Spec
    from .study import Search, Tradeoff, search, tradeoff
    from .tasks import (
        AnomalyResult,
        Balanced,
        Classifier,
        Imputation,
        Referee,
        anomalies,
        balance,
        classifier,
        impute,
        referee,
        synthesis_report,
        synthesize,
    )
    from .train import Diverged, History, Row
    from .views import View

_HOMES = {
    "config": ("DataConfig", "RunConfig", "TrainConfig"),
    "data": ("Batch", "Data", "Schema", "Splits"),
    "distributions": ("Distribution", "Family"),
    "errors": ("DiaboloError", "DiaboloWarning"),
    "exports": ("Exported", "export"),
    "model": ("Conditional", "Draw", "LatentModel", "Recipe", "Trace"),
    "recipes": ("build",),
    "reports": ("Compared", "Report", "compare", "report"),
    "run": ("Codes", "Interrupted", "Run", "fit", "load", "refit", "resume"),
    "spec": ("Spec",),
    "study": ("Tradeoff", "Search", "search", "tradeoff"),
    "tasks": (
        "AnomalyResult",
        "Balanced",
        "Classifier",
        "Imputation",
        "Referee",
        "anomalies",
        "balance",
        "classifier",
        "impute",
        "referee",
        "synthesis_report",
        "synthesize",
    ),
    "train": ("Diverged", "History", "Row"),
    "views": ("View",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "data",
    "distributions",
    "estimators",
    "evaluate",
    "exports",
    "latents",
    "nets",
    "objectives",
    "panels",
    "posteriors",
    "priors",
    "recipes",
    "tasks",
)

__all__ = [
    "AnomalyResult",
    "Balanced",
    "Batch",
    "Classifier",
    "Codes",
    "Compared",
    "Conditional",
    "Data",
    "DataConfig",
    "DiaboloError",
    "DiaboloWarning",
    "Distribution",
    "Diverged",
    "Draw",
    "Exported",
    "Family",
    "History",
    "Imputation",
    "Interrupted",
    "LatentModel",
    "Recipe",
    "Referee",
    "Report",
    "Row",
    "Run",
    "RunConfig",
    "Schema",
    "Search",
    "Spec",
    "Splits",
    "Trace",
    "Tradeoff",
    "TrainConfig",
    "View",
    "anomalies",
    "balance",
    "build",
    "classifier",
    "compare",
    "data",
    "distributions",
    "estimators",
    "evaluate",
    "export",
    "exports",
    "fit",
    "impute",
    "latents",
    "load",
    "nets",
    "objectives",
    "panels",
    "posteriors",
    "priors",
    "recipes",
    "referee",
    "refit",
    "report",
    "resume",
    "search",
    "synthesis_report",
    "synthesize",
    "tasks",
    "tradeoff",
]


def __getattr__(name: str) -> Any:
    """Imports what a name stands for when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("diabolo")
    elif name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__", *globals()})
