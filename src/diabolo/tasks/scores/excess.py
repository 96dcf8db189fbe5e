r"""By how much two scores exceed what is usual, added up.

.. math::
    s(x) = \frac{A(x) - m_A}{w_A} + \frac{B(x) - m_B}{w_B}

m is the median and w what the upper quartile lies above it, over the training data or, where they
are gone, the reference: they hardly move if anomalies are among these data. A and B are

- of `density`, `log_likelihood` and `margins`: rows that are unlikely as a whole, and rows that
  stick out in single columns, each of which the other score may be blind to;
- of `code`, `distortion` and `latent_distance`: rows that are explained badly, and rows that are
  explained well by a code that nothing else has. A deterministic autoencoder has these alone.

A sum in nats would be ruled by the larger one. How the parts were chosen is told on the page on
anomalies.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...data import Data
from ...errors import DiaboloError
from ...evaluate.passes import some
from ...noise import mix_seed
from ._subject import Judge, Subject
from .distortion import distortion
from .latent_distance import latent_distance
from .log_likelihood import log_likelihood
from .margins import margins

__all__ = ["excess"]

MOST = 4000  # rows that median and quartile are taken of
LEARNING = 0x657863657373  # apart from the noise of the data that are judged


def excess(
    subject: Subject,
    *,
    of: Literal["auto", "density", "code"] = "auto",
    k: int = 64,
    seed: int = 0,
) -> Judge:
    """Two scores above their medians, in units of their upper quartiles.

    Arguments:
        subject: A model, and the normal data.
        of: `density` adds up `log_likelihood` and `margins`, `code` `distortion` and
            `latent_distance`; `auto` takes `density`, but `code` for a deterministic autoencoder.
        k: Posterior samples a datum, and codes of a margin.
        seed: Keys the samples of the normal data.
    """
    if of not in ("auto", "density", "code"):
        raise DiaboloError(f"excess is of 'density' or 'code', or 'auto', but got of={of!r}.")
    if of == "auto":
        of = "code" if subject.model.deterministic else "density"
    parts = (
        (log_likelihood(subject, k=k), margins(subject, k=k, seed=seed))
        if of == "density"
        else (distortion(subject, k=k), latent_distance(subject))
    )
    usual = some(subject.normal.many(), MOST, mix_seed(seed, LEARNING))
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
