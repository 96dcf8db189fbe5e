r"""The evidence lower bound, turned round: what it takes to explain a datum, in nats.

.. math:: s(x) = -\mathcal{L}(x) = \mathbb{E}_q[-\log p(x \mid z)]
    + \mathrm{KL}(q(z \mid x) \,\|\, p(z))
"""

from __future__ import annotations

from torch import Tensor

from ... import evaluate
from ...data import Data
from ...errors import whole
from ._subject import Judge, Subject, probabilistic

__all__ = ["bound"]


def bound(subject: Subject, *, k: int = 8) -> Judge:
    """The negative ELBO: distortion and rate together.

    Arguments:
        subject: The model.
        k: Posterior samples a datum.
    """
    probabilistic(subject, "bound")
    k = whole("k", k, least=1)

    def judge(data: Data, seed: int) -> Tensor:
        found = evaluate.bound(
            subject.model, data, samples=k, seed=seed, precision=subject.precision
        )
        return -found.elbo.per_datum

    return judge
