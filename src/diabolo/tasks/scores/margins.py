r"""How unlikely each element of a datum is by itself, added up, in nats.

.. math::
    s(x) = -\sum_j \log p(x_j), \qquad p(x_j) = \frac1k \sum_{i=1}^k p(x_j \mid z_i), \quad
    z_i \sim q(z)

The margins of the model, as if the columns had nothing to do with one another: z is drawn from the
aggregate posterior of the training data or, where they are gone, of the reference. What sticks out
in columns taken singly is what the most robust detectors of tables go by.

References:
    | ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions
    | (Li et al., 2022), which adds up the columns' tails likewise
    | https://arxiv.org/abs/2201.00382
    | ELBO surgery (Hoffman & Johnson, 2016), for the aggregate posterior
    | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

Shapes: K codes, B batch, n data, E event.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...data import Data
from ...errors import DiaboloError, whole
from ...evaluate.passes import autocast, batches, decoder_rows, quiet, some
from ...noise import KeyedNoise, mix_seed
from ._subject import Judge, Subject, probabilistic

__all__ = ["margins"]

CODES = 0x6D617267696E73  # apart from the noise of the data that are judged


def margins(subject: Subject, *, k: int = 64, seed: int = 0) -> Judge:
    """The negative log-likelihoods of the elements, each by itself, added up.

    Arguments:
        subject: The model and the normal data.
        k: Codes over which a margin is averaged, each of another normal datum.
        seed: Keys the choice of the codes.
    """
    probabilistic(subject, "margins")
    model = subject.model
    code = _codes(subject, whole("k", k, least=1), seed)  # (K, 1, W)
    device = code.device

    def judge(data: Data, seed: int) -> Tensor:
        found: list[Tensor] = []
        with quiet(model), autocast(subject.precision, device):
            for b in batches(model, data, max(1, decoder_rows(data, device) // len(code))):
                c = None
                if model.condition:
                    noise = KeyedNoise(seed, b.index)
                    _, c = model.infer(b.x, b.c, k=len(code), mask=b.mask, noise=noise)
                px = model.likelihood(code.expand(-1, len(b.x), *code.shape[2:]), c)
                with autocast("float32", device):
                    try:
                        each = px.given(b.x, b.mask).log_prob_elements(b.x)  # (K, B, *E)
                    except DiaboloError as error:
                        raise DiaboloError(
                            f"{error} It has no margins: use the score 'log_likelihood'."
                        ) from None
                    each = each.double().logsumexp(0) - math.log(len(code))
                    if b.mask is not None:
                        each = torch.where(b.mask, each, 0.0)
                    found.append(-each.flatten(1).sum(1).cpu())
        return torch.cat(found)

    return judge


def _codes(subject: Subject, k: int, seed: int) -> Tensor:
    """Returns the codes of k normal data, or of all where they are fewer, (K, 1, W)."""
    model = subject.model
    device = next(model.parameters()).device
    key = mix_seed(seed, CODES)
    usual = some(subject.normal.many(), k, key)
    with quiet(model), autocast(subject.precision, device):
        parts = [
            model.infer(b.x, b.c, mask=b.mask, noise=KeyedNoise(key, b.index))[0].code
            for b in batches(model, usual, decoder_rows(usual, device))
        ]
    return torch.cat(parts, 1).transpose(0, 1)
