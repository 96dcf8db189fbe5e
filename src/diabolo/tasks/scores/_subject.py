"""What a score may look at: the model, how its data are written, and data known to be normal.

Shapes: n data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data import Data, Schema
from ...errors import DiaboloError
from ...evaluate import Precision
from ...model import LatentModel

__all__ = ["Judge", "Normal", "Subject", "probabilistic"]

Judge = Callable[[Data, int], Tensor]  # data and a seed to scores (n,), float64, on the CPU


class Normal:
    """Data known to be normal, for scores that learn of them and for p-values.

    A score that has learned of a held-out datum does not judge it as it would a new one: where
    there are to be p-values, one half is to learn of, and the other half stands beside the new
    data.

    Arguments:
        held: Returns data that the model was not trained on.
        trained: Returns the data that it was trained on, or None where they are gone.
        halved: Whether held-out data are for p-values too.
    """

    def __init__(
        self,
        held: Callable[[], Data],
        trained: Callable[[], Data | None] = lambda: None,
        *,
        halved: bool = False,
    ) -> None:
        self.held, self.trained, self.halved, self.learned = held, trained, halved, False

    def learn(self) -> Data:
        """Returns held-out data that a score may learn of."""
        self.learned = True
        return self._half(0) if self.halved else self.held()

    def many(self) -> Data:
        """Returns the data of the training or, where they are gone, those of `learn`."""
        found = self.trained()
        return self.learn() if found is None else found

    def beside(self) -> Data:
        """Returns the held-out data that no score has learned of."""
        return self._half(1) if self.learned else self.held()

    def _half(self, which: int) -> Data:
        data = self.held()
        if len(data) < 2:
            raise DiaboloError(
                "This score learns of one half of the reference and takes p-values of the other: "
                f"it needs 2 rows at least, but got {len(data)}."
            )
        # Positions, not rows: data in the order of a class or of time go to both halves.
        return data.take(torch.arange(which, len(data), 2))


@dataclass(frozen=True)
class Subject:
    """A fitted model whose data are to be judged.

    Arguments:
        model: The model.
        schema: How the user's data become the model's.
        normal: Data known to be normal.
        precision: The type in which networks compute.
    """

    model: LatentModel
    schema: Schema
    normal: Normal
    precision: Precision = "float32"


def probabilistic(subject: Subject, score: str) -> None:
    """Refuses a deterministic autoencoder for a score that is made of densities of its code.

    Raises:
        DiaboloError: Naming scores that will do.
    """
    if subject.model.deterministic:
        raise DiaboloError(
            f"The score '{score}' needs a likelihood of x, but the codes of a deterministic "
            "autoencoder have no density: use the score 'distortion' or 'latent_distance', or "
            "fit a 'vae'."
        )
