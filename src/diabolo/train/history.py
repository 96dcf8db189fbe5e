"""What a training tells: one row an epoch, why it ended, and the error of one that diverged.

Shapes: none; everything is a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import DiaboloError

__all__ = ["Diverged", "History", "Row", "Stop", "rates", "stop_at"]

Stop = Literal["epochs", "minutes", "patience", "interrupt", "diverged"]


class Diverged(DiaboloError):
    """Training met a number that is not finite; the model holds the best weights before that.

    Attributes:
        rows: The epochs that were finished before; without one the weights are the initial ones.
        folder: Where the run with the best weights was saved, or None.
    """

    def __init__(self, sentence: str, rows: Sequence[Row]) -> None:
        super().__init__(sentence)
        self.rows = list(rows)
        self.folder: Path | None = None


@dataclass(frozen=True)
class Row:
    """One epoch, in nats per datum.

    Attributes:
        epoch: Counted from 1.
        step: Optimiser steps so far.
        seconds: Wall clock so far.
        learning_rate: At the end of the epoch.
        objective: The training objective, the mean over the epoch.
        distortion: -log p(x|z) as the objective averages it.
        rate: Of each latent group, likewise.
        penalty: All the rest: objective = -distortion - sum(rate) - penalty.
        valid_elbo: The ELBO of the validation data; of a recipe that trains on an
            importance-weighted bound, that of as many samples; of one that trims batches, the
            ELBO of what it keeps; of a deterministic model, the objective.
        valid_distortion: Its distortion.
        valid_rate: Its rate of each latent group.
        best: Whether its weights are the best so far: by `valid_elbo`, or at the price of the rate
            (`TrainConfig.select`) and, before that, by how near an objective with an aim was to it.
        skipped: Steps of the epoch that were not taken, since a number was not finite.
    """

    epoch: int
    step: int
    seconds: float
    learning_rate: float
    objective: float
    distortion: float
    rate: tuple[float, ...]
    penalty: float
    valid_elbo: float
    valid_distortion: float
    valid_rate: tuple[float, ...]
    best: bool
    skipped: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Row:
        """Returns the row that `dataclasses.asdict` took apart, by way of a file."""
        given: dict[str, Any] = dict(values)
        given.update((name, tuple(given[name])) for name in ("rate", "valid_rate"))
        return cls(**given)


@dataclass
class History:
    """The rows of a training, why it ended, and how it was computed.

    Attributes:
        rows: One an epoch.
        stopped: Why it ended.
        computing: Device, precision, whether compiled, threads and the version of torch.
        signal: The signal that interrupted it, if one did.
    """

    rows: list[Row] = field(default_factory=list)
    stopped: Stop = "epochs"
    computing: dict[str, Any] = field(default_factory=dict)
    signal: int | None = None

    @property
    def best(self) -> Row | None:
        """The row whose weights the model holds."""
        return next((r for r in reversed(self.rows) if r.best), None)


def rates(rate: list[float]) -> dict[str, float]:
    """Returns the rates by the names of their terms."""
    return {f"rate of group {g + 1}": r for g, r in enumerate(rate)}


def stop_at(terms: dict[str, float], step: int, rows: Sequence[Row]) -> None:
    """Stops at the first term that is not finite; a cause stands before what it spoils.

    Arguments:
        terms: The numbers by their names.
        step: The step they are of.
        rows: The epochs that were finished before.

    Raises:
        Diverged: Naming the term and the step.
    """
    for term, value in terms.items():
        if not math.isfinite(value):
            kept = (
                "The model holds the last good weights."
                if rows
                else "No epoch was finished before, so the model holds its initial weights."
            )
            raise Diverged(
                f"Training diverged: the {term} is {value} at step {step}. {kept} "
                "Try a smaller learning_rate or clip, or look at the data's scale.",
                rows,
            )
