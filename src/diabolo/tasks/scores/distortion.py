r"""What is left unexplained of a datum once its code is known, in nats.

.. math:: s(x) = \mathbb{E}_q[-\log p(x \mid z)]

It is what others call reconstruction error, in the units of the likelihood: a deterministic
autoencoder has it too, with z the code of x. It is the sum of what `attribution` tells of each
column or pixel.
"""

from __future__ import annotations

from torch import Tensor

from ... import evaluate
from ...data import Data
from ...errors import whole
from ._subject import Judge, Subject

__all__ = ["distortion"]


def distortion(subject: Subject, *, k: int = 8) -> Judge:
    """The expected negative log-likelihood of a datum given its code.

    Arguments:
        subject: The model.
        k: Posterior samples a datum; a deterministic code is one.
    """
    k = whole("k", k, least=1)

    def judge(data: Data, seed: int) -> Tensor:
        found = evaluate.distortion(
            subject.model, data, samples=k, seed=seed, precision=subject.precision
        )
        return found.per_datum

    return judge
