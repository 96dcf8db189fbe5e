"""Handwritten digits as arrays, and a judge that names them.

The digits are scikit-learn's (8 x 8) with quick settings and MNIST (28 x 28) with full ones. The
judge is a small classifier that learns from what it is given: where it is to judge a model's
samples, from real digits alone.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from experiment import Experiment
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from diabolo import DataConfig
from diabolo.data import Data, load

__all__ = ["Digits", "Judge", "digits"]


class Digits(NamedTuple):
    """Images (N, H, W) with grey levels in [0, 1], and their labels (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Digits:
        """Returns the digits at these positions."""
        return Digits(self.images[rows], self.labels[rows])


def digits(lab: Experiment) -> tuple[Digits, Digits]:
    """Returns the digits to learn from and those to test on."""
    name, levels = lab.pick(("digits", 17), ("mnist", 256))
    splits = load(name, DataConfig(valid=1, **lab.source)).splits
    assert splits.test is not None
    return _arrays(splits.train, levels), _arrays(splits.test, levels)


def _arrays(data: Data, levels: int) -> Digits:
    assert data.labels is not None
    images = np.asarray(data.x)[:, 0] / np.float32(levels - 1)
    return Digits(images, data.labels.numpy())


class Judge:
    """A perceptron that names digits.

    Arguments:
        images: What it learns from, (N, *).
        labels: Their names, (N,).
        weights: How much each datum counts, (N,); None for all alike.
        epochs: How often it goes through them; None for about 100,000 images in all, but 10
            times at least.
        seed: That of its weights and order.
    """

    def __init__(
        self,
        images: NDArray[np.float32],
        labels: NDArray[np.int64],
        *,
        weights: NDArray[np.float64] | None = None,
        epochs: int | None = None,
        seed: int = 0,
    ) -> None:
        epochs = epochs or max(10, 100_000 // len(images))
        self.net = MLPClassifier((256,), batch_size=128, max_iter=epochs, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs, and no more
            self.net.fit(images.reshape(len(images), -1), labels, sample_weight=weights)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the name of each image (N, *)."""
        return self.net.predict(images.reshape(len(images), -1))
