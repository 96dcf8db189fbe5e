r"""By how much distortion and latent distance exceed what is usual, added up.

.. math::
    s(x) = \frac{D(x) - m_D}{w_D} + \frac{L(x) - m_L}{w_L}

D is the distortion and L the distance of the code; m is the median and w what the upper quartile
lies above it, over the training data or, where they are gone, the reference. Some anomalies are
explained badly, and others are explained well by a code that nothing else has: either of the two
scores alone is blind to one kind, and a sum in nats is ruled by the larger one. Median and quartile
hardly move if anomalies are among the data that they are taken of.

It did best on the six tables on which the default was chosen, but not on five others: see the page
on anomalies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...data import Data
from ...noise import mix_seed
from ._subject import Judge, Subject
from .distortion import distortion
from .latent_distance import latent_distance

__all__ = ["excess"]

LEARNING = 0x657863657373  # apart from the noise of the data that are judged


def excess(subject: Subject, *, k: int = 8, seed: int = 0) -> Judge:
    """Distortion and latent distance above their medians, in units of their upper quartiles.

    Arguments:
        subject: A model with codes of real numbers, and the normal data.
        k: Posterior samples a datum.
        seed: Keys the samples of the normal data.
    """
    parts = (distortion(subject, k=k), latent_distance(subject))
    usual = subject.normal.many()
    scaled = [_scale(part(usual, mix_seed(seed, LEARNING))) for part in parts]

    def judge(data: Data, seed: int) -> Tensor:
        found = zip(parts, scaled, strict=True)
        return torch.stack([(part(data, seed) - m) / w for part, (m, w) in found]).sum(0)

    return judge


def _scale(values: Tensor) -> tuple[float, float]:
    """Returns the median of values (n,), and how far above it the upper quartile lies."""
    middle, upper = values.quantile(torch.tensor([0.5, 0.75], dtype=values.dtype)).tolist()
    spread = upper - middle or float(values.std(correction=0))  # where many are the same
    return middle, spread or 1.0
