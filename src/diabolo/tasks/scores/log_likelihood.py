r"""The importance-weighted log-likelihood, turned round, in nats.

.. math:: s(x) = -\log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}

The classical trap: a model of rich data finds simpler foreign data likely, and often likelier than
its own. `typicality`, `complexity` and `regret` are answers to that.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), theorem 1
    | https://arxiv.org/abs/1509.00519
    | Do Deep Generative Models Know What They Don't Know? (Nalisnick et al., 2019)
    | https://arxiv.org/abs/1810.09136
"""

from __future__ import annotations

from torch import Tensor

from ... import evaluate
from ...data import Data
from ...errors import whole
from ._subject import Judge, Subject, probabilistic

__all__ = ["log_likelihood"]


def log_likelihood(subject: Subject, *, k: int = 100) -> Judge:
    """The negative log-likelihood of a datum, as `Run.score` estimates it.

    Arguments:
        subject: The model.
        k: Posterior samples a datum.
    """
    probabilistic(subject, "log_likelihood")
    k = whole("k", k, least=1)

    def judge(data: Data, seed: int) -> Tensor:
        found = evaluate.log_likelihood(
            subject.model, data, k=k, seed=seed, precision=subject.precision
        )
        return -found.per_datum.double().cpu()

    return judge
