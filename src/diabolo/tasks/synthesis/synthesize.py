"""A synthetic table from a run, and the report on it.

Shapes: n rows, D columns, C width of a condition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data import Data
from ...errors import DiaboloError, whole
from ...evaluate.drawing import drawn
from ...run import Run
from ...run.asked import OutOfReach, as_data, held_out, refuse_alone
from .coded import Coded
from .report import SynthesisReport, judge

__all__ = ["Synthesis", "coded_draws", "coded_rows", "synthesis_report", "synthesize"]

DISCRETE = ("category", "binary")
STREAM = 0x73796E7468  # apart from the noise of the rows themselves


class Synthesis(NamedTuple):
    """Synthetic rows.

    Attributes:
        data: The rows, a frame or an array (n, D) as those that were fitted.
        labels: The label of each, (n,), of a model conditional on labels; None of others.
    """

    data: Any
    labels: NDArray[Any] | None


def synthesize(run: Run, n: int | None = None, *, seed: int = 0) -> Synthesis:
    """Returns n synthetic rows x ~ p(x | z), z ~ p(z), and their labels where there are any.

    Of a model conditional on labels, each label is drawn as often as it came in training.

    Arguments:
        run: A run that was fitted to a table.
        n: How many rows; None takes as many as were trained on.
        seed: Keys the draws.

    Raises:
        DiaboloError: If the run is none of a table, its condition is not one label, or its model
            has no prior.
    """
    _check(run)
    n = int(run.prints["train"]["count"]) if n is None else whole("n", n, least=1)
    seed = whole("seed", seed)
    c = _conditions(run, n, np.random.default_rng([seed, STREAM]))
    x = drawn(run.model, n, c, seed=seed)
    labels = None if c is None else np.array(run.schema.classes)[c.argmax(1).numpy()]
    return Synthesis(run.schema.restore(x, drawn=True), labels)


def synthesis_report(
    run: Run,
    data: Any = None,
    train: Any = None,
    *,
    labels: Any = None,
    target: str | None = None,
    baselines: bool = True,
    seed: int = 0,
) -> SynthesisReport:
    """Returns how like real rows a run's synthetic rows are, and what they give away.

    Arguments:
        run: A run that was fitted to a table.
        data: Real rows that were not trained on; None takes the test or the validation split.
        train: The rows that were trained on; None takes the run's own.
        labels: Labels of `data`, where they are not in it.
        target: A column to foretell: what is learned of synthetic rows is asked of real ones.
        baselines: Whether to put a Gaussian copula and independent columns beside.
        seed: Keys the draws, and seeds the classifiers.

    Raises:
        DiaboloError: If the run is none of a table, there are too few rows, or no such target.
    """
    _check(run)
    refuse_alone(data, labels, None)
    held = held_out(run)[1] if data is None else as_data(run, data, labels, None)
    learned = run.data("train") if train is None else as_data(run, train, None, None)
    if learned is None:
        raise OutOfReach(
            "The training data were passed in memory and are gone: give them too, train=."
        )

    return judge(
        {run.config.name: lambda n, generator: coded_draws(run, n, generator)},
        coded_rows(run, learned),
        coded_rows(run, held),
        target=target,
        seed=whole("seed", seed),
        baselines=baselines,
    )


def _check(run: Run) -> None:
    if run.schema.layout != "vector":
        raise DiaboloError(
            "A synthetic table needs a run that was fitted to one; images are drawn by sample."
        )
    names = [c.name for c in run.schema.conditions]
    if run.spec.condition and (names != [run.schema.label] or not run.schema.classes):
        raise DiaboloError(
            f"Synthetic rows have labels at most as a condition, but this run reads "
            f"{', '.join(names)}: draw rows by sample, with a condition for each."
        )


def _conditions(run: Run, n: int, generator: np.random.Generator) -> Tensor | None:
    """Returns one-hot labels (n, C), as often as they came in training; None without any."""
    if not run.spec.condition:
        return None
    counts = np.array(run.prints["train"]["classes"] or [1] * run.spec.condition, np.float64)
    codes = torch.from_numpy(generator.choice(len(counts), n, p=counts / counts.sum()))
    return torch.nn.functional.one_hot(codes, len(counts)).to(next(run.model.parameters()).dtype)


def coded_draws(run: Run, n: int, generator: np.random.Generator) -> Coded:
    """Returns n synthetic rows as numbers.

    Raises:
        DiaboloError: If the run is none of a table, or reads another condition than a label.
    """
    _check(run)
    c = _conditions(run, n, generator)
    x = drawn(run.model, n, c, seed=int(generator.integers(2**31)))
    on_steps = run.schema.stepped(x.float().numpy(), run.schema.kept)
    return _coded(run, torch.from_numpy(on_steps).float(), None, c)


def coded_rows(run: Run, data: Data) -> Coded:
    """Returns rows as numbers, NaN where an entry was not seen."""
    batch = data.batch(torch.arange(len(data), device=data.device))
    return _coded(run, batch.x, batch.mask, batch.c)


def _coded(run: Run, x: Tensor, mask: Tensor | None, c: Tensor | None) -> Coded:
    """Returns rows as numbers with holes, and the label as their last column."""
    values = x.cpu().double()
    values = values if mask is None else values.masked_fill(~mask.cpu(), torch.nan)
    schema = run.schema
    names = tuple(schema.columns[i] if schema.columns else str(i) for i in schema.kept)
    supports = [schema.kinds[i] for i in schema.kept] if schema.kinds else [schema.support]
    codes = tuple(s.partition(":")[0] in DISCRETE for s in supports * (len(names) // len(supports)))
    if c is not None:
        values = torch.cat([values, c.cpu().argmax(1, keepdim=True).double()], dim=1)
        names, codes = (*names, schema.label), (*codes, True)
    return Coded(values.numpy(), names, codes)
