r"""The classifier two-sample test: can a classifier tell samples from data?

It is trained on one half of both and asked on the other. Of equal laws it finds half, whatever it
has learned, so that its number of right answers has a known law.

Shapes: N data, M samples, D features.

References:
    | Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017), section 3
    | https://arxiv.org/abs/1610.06545
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..quantity import Quantity
from .comparison import Comparison, points, stderr

__all__ = ["TwoSampleTest", "two_sample_test"]


@dataclass(frozen=True)
class TwoSampleTest:
    """What the test found.

    Arguments:
        accuracy: The part of the points held out whose origin the classifier finds.
        p: The probability of as many right answers, or more, if the laws were equal.
    """

    accuracy: Comparison
    p: float

    def rows(self) -> list[Quantity]:
        """Returns the table."""
        how = "probability of so many right answers, or more, under one law (exact binomial)"
        return [
            self.accuracy.row("two-sample accuracy"),
            Quantity("two-sample p", self.p, "", None, None, how),
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        return {"accuracy": self.accuracy.to_json(), "p": self.p}


def two_sample_test(data: Tensor, samples: Tensor, *, seed: int = 0) -> TwoSampleTest:
    """Returns how well boosted trees tell samples from data that they were not trained on.

    The same number of both is taken, so that guessing finds half.

    Arguments:
        data: Points (N, D).
        samples: Points (M, D).
        seed: Draws the halves, and seeds the classifier.

    Raises:
        DiaboloError: If shapes differ, or there are fewer than 40 points of a kind.
    """
    from scipy.stats import binom
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = points(data, samples)
    n = min(len(x), len(y))
    # The same order for as many of both: a sample that shares its condition with a datum is in
    # the same half, so that what was learned says nothing of the half that is asked.
    x, y = (
        t[torch.randperm(len(t), generator=torch.Generator().manual_seed(seed))[:n]].numpy()
        for t in (x, y)
    )
    half = n // 2
    label = np.repeat([0, 1], half)
    classifier = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
    classifier.fit(np.concatenate([x[:half], y[:half]]), label)
    found = [torch.from_numpy(classifier.predict(t[half:])).double() for t in (x, y)]
    right = 1 - found[0], found[1]  # (N - half,) each
    hits, asked = int(right[0].sum() + right[1].sum()), 2 * (n - half)
    kind = f"part of {asked} points held out whose origin boosted trees find"
    errors = stderr(right[1]) / 2, stderr(right[0]) / 2
    accuracy = Comparison(hits / asked, *errors, n, n, kind, same=0.5)
    # Points of each kind are a fixed half, so that the true spread is at most the binomial's
    # (Hoeffding, 1956), also where pairs share a condition.
    return TwoSampleTest(accuracy, float(binom.sf(hits - 1, asked, 0.5)))
