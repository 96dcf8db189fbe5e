r"""How far a datum's posterior is from the prior, in nats.

.. math:: s(x) = \mathrm{KL}(q(z \mid x) \,\|\, p(z))

Strange is what needs an unlikely code; it is blind to what the code does not hold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ... import evaluate
from ...data import Data
from ...errors import whole
from ._subject import Judge, Subject, probabilistic

__all__ = ["rate"]


def rate(subject: Subject, *, k: int = 8) -> Judge:
    """The rate of a datum, of all latent groups together.

    Arguments:
        subject: The model.
        k: Posterior samples a datum, which matter where the rate has no closed form.
    """
    probabilistic(subject, "rate")
    k = whole("k", k, least=1)

    def judge(data: Data, seed: int) -> Tensor:
        found = evaluate.bound(
            subject.model, data, samples=k, seed=seed, precision=subject.precision
        )
        return torch.stack([r.per_datum for r in found.rate]).sum(0)

    return judge
