r"""How far a datum's log-likelihood is from its level on normal data, above or below, in nats.

.. math:: s(x) = \big| \log p(x) - \tfrac1M \textstyle\sum_m \log p(x_m) \big|

In many dimensions normal data lie where the log-likelihood is near its mean, and not where it is
highest: what is far too likely is as strange as what is far too unlikely.

References:
    | Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality
    | (Nalisnick et al., 2019), eq. 5, for batches of one datum
    | https://arxiv.org/abs/1906.02994
"""

from __future__ import annotations

from torch import Tensor

from ...data import Data
from ...noise import mix_seed
from ._subject import Judge, Subject, probabilistic
from .log_likelihood import log_likelihood

__all__ = ["typicality"]

LEARNING = 0x6C6576656C  # apart from the noise of the data that are judged


def typicality(subject: Subject, *, k: int = 100, seed: int = 0) -> Judge:
    """The distance of the log-likelihood from its mean over data known to be normal.

    Arguments:
        subject: The model and the normal data.
        k: Posterior samples a datum.
        seed: Keys the samples of the normal data.
    """
    probabilistic(subject, "typicality")
    unlikely = log_likelihood(subject, k=k)
    level = unlikely(subject.normal.learn(), mix_seed(seed, LEARNING)).mean()

    def judge(data: Data, seed: int) -> Tensor:
        return (unlikely(data, seed) - level).abs()

    return judge
