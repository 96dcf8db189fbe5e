"""Likelihoods of a run's model on a user's data, of x given its condition or of x alone.

Shapes: n rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import evaluate as evaluation
from ..data import Data
from ..errors import DiaboloError, whole
from ..evaluate.samples import FeatureKind
from .asked import as_data, held_out, refuse_alone

if TYPE_CHECKING:
    from .run import Run

__all__ = ["FeatureKind", "Marginal", "class_counts", "evaluate", "sample_quality", "score"]

Marginal = bool | Sequence[float] | NDArray[Any] | Tensor


def class_counts(data: Data) -> list[int] | None:
    """Returns how often each class is the condition, (C,); None where that is not one label."""
    c = data.c
    if c is None or c.shape[1] < 2 or not bool(((c == 0) | (c == 1)).all()):
        return None
    return [int(n) for n in c.sum(0).tolist()] if bool((c.sum(1) == 1).all()) else None


def frequencies(run: Run, marginal: Marginal) -> Tensor | None:
    """Returns the class frequencies (C,) that `marginal` asks for, or None.

    Raises:
        DiaboloError: If they are no numbers, or those of the training data are not known.
    """
    if isinstance(marginal, bool | np.bool_):
        if not marginal:
            return None
        if not run.model.condition or run.model.classifies:
            why = (
                "takes no condition" if not run.model.condition else "sums over its classes itself"
            )
            raise DiaboloError(f"This model {why}: leave marginal out.")
        counts = run.prints.get("train", {}).get("classes")
        if counts is None:
            raise DiaboloError(
                "The class frequencies of the training data are not known for this run: its "
                "condition is not one label, or it was written before they were kept. Give them, "
                "marginal=(p1, p2, ...)."
            )
        return torch.tensor(counts, dtype=torch.float64)
    try:
        return torch.as_tensor(marginal, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise DiaboloError(
            f"marginal is True, False or the frequencies of the classes, not {marginal!r}."
        ) from None


def score(
    run: Run,
    x: Any,
    k: int,
    labels: Any,
    condition: Any,
    marginal: Marginal,
    seed: int,
    precision: evaluation.Precision,
    compile: evaluation.Compile,
) -> NDArray[np.float64]:
    """Returns what `Run.score` promises, (n,)."""
    k, seed = whole("k", k, least=1), whole("seed", seed)
    prior = frequencies(run, marginal)
    data = as_data(run, x, labels, condition, lacking=prior is not None)
    found = evaluation.log_likelihood(
        run.model, data, k=k, seed=seed, marginal=prior, precision=precision, compile=compile
    )
    return found.per_datum.double().cpu().numpy()


def evaluate(
    run: Run,
    data: Any,
    method: str | None,
    k: int | None,
    labels: Any,
    condition: Any,
    marginal: Marginal,
    seed: int,
    precision: evaluation.Precision,
    compile: evaluation.Compile,
    full: bool,
    progress: Callable[[float], None] | None,
) -> evaluation.Evaluation:
    """Returns what `Run.evaluate` promises, and keeps its numbers in the run."""
    k, seed = None if k is None else whole("k", k, least=1), whole("seed", seed)
    prior = frequencies(run, marginal)
    refuse_alone(data, labels, condition)
    split, chosen = held_out(run) if data is None else ("given", data)
    chosen = as_data(run, chosen, labels, condition, lacking=prior is not None)
    found = evaluation.evaluate(
        run.model,
        chosen,
        method=method,
        k=k,
        seed=seed,
        precision=precision,
        compile=compile,
        marginal=prior,
        full=full,
        progress=progress,
    )
    run.metrics["evaluation"] = {"split": split, **found.to_json()}
    return found


def sample_quality(
    run: Run,
    data: Any,
    train: Any,
    labels: Any,
    condition: Any,
    mean: bool,
    features: FeatureKind | None,
    neighbours: int,
    seed: int,
    precision: evaluation.Precision,
    progress: Callable[[float], None] | None,
) -> evaluation.SampleQuality:
    """Returns what `Run.sample_quality` promises, and keeps its numbers in the run."""
    refuse_alone(data, labels, condition)
    split, chosen = held_out(run) if data is None else ("given", data)
    learned = run.data("train") if train is None else train
    known = None if learned is None else as_data(run, learned, None, None, lacking=True)
    found = evaluation.sample_quality(
        run.model,
        as_data(run, chosen, labels, condition),
        known,
        mean=mean,
        features=features,
        neighbours=neighbours,
        seed=seed,
        precision=precision,
        progress=progress,
    )
    run.metrics["samples"] = {"split": split, **found.to_json()}
    return found
