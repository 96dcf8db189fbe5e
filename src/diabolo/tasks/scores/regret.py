r"""How much a datum gains by a posterior of its own, in nats.

.. math:: s(x) = \max_{q} \mathcal{L}(x; q) - \mathcal{L}(x; q_\phi(\cdot \mid x))

The encoder is good at data like those it was trained on; of others its posterior is far from the
best, whatever their likelihood is. Each datum climbs its own bound, the decoder frozen, which takes
hundreds of times what its bound takes.

References:
    | Likelihood Regret: An Out-of-Distribution Detection Score for Variational Auto-encoder
    | (Xiao, Yan & Amit, 2020), eq. 5
    | https://arxiv.org/abs/2003.02977
"""

from __future__ import annotations

from torch import Tensor

from ... import evaluate
from ...data import Data
from ...errors import whole
from ._subject import Judge, Subject, probabilistic

__all__ = ["regret"]


def regret(subject: Subject, *, steps: int = 100, k: int = 100) -> Judge:
    """The amortisation gap of a datum, as `evaluate.refine` finds it.

    Arguments:
        subject: A model whose latent is one continuous vector.
        steps: The steps of the climb.
        k: Samples by which both bounds are measured.
    """
    probabilistic(subject, "regret")
    steps, k = whole("steps", steps, least=1), whole("k", k, least=2)

    def judge(data: Data, seed: int) -> Tensor:
        found = evaluate.refine(
            subject.model, data, steps=steps, k=k, seed=seed, precision=subject.precision
        )
        return found.amortization_gap.per_datum

    return judge
