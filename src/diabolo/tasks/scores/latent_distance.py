r"""How far a datum's code is from the codes of normal data, in standard deviations.

.. math::
    s(x) = \sqrt{(\mu(x) - m)^\top S^{-1} (\mu(x) - m)}, \qquad
    S = \mathrm{Cov}[\mu] + \mathbb{E}[\mathrm{Var}(z \mid x)]

m and S are mean and covariance of the aggregate posterior q(z) of the training data or, where they
are gone, of the reference; the covariance
of the means is shrunk towards a multiple of the identity, so that few data will do. A deterministic
autoencoder, whose codes have no variance, has this distance too.

References:
    | A Simple Unified Framework for Detecting Out-of-Distribution Samples (Lee et al., 2018), eq. 2
    | https://arxiv.org/abs/1807.03888
    | A well-conditioned estimator for large-dimensional covariance matrices
    | (Ledoit & Wolf, 2004)
    | https://doi.org/10.1016/S0047-259X(03)00096-4

Shapes: n data, D latent elements.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...data import Data
from ...distributions import REALS
from ...errors import DiaboloError
from ...evaluate.drawing import rows_of
from ...evaluate.passes import autocast, batches, quiet
from ._subject import Judge, Subject

__all__ = ["latent_distance"]


def latent_distance(subject: Subject) -> Judge:
    """The Mahalanobis distance of a code under the aggregate posterior.

    Arguments:
        subject: The model and the normal data.
    """
    model = subject.model
    if any(model.levels):
        raise DiaboloError(
            "The score 'latent_distance' measures between codes, but this model's have discrete "
            "elements, whose numbers are names: use the score 'rate'."
        )
    if model.space != REALS:
        raise DiaboloError(
            f"The score 'latent_distance' measures in straight lines, but this model's codes lie "
            f"on {model.space}: use the score 'rate'."
        )
    from sklearn.covariance import ledoit_wolf

    mean, variance = _codes(subject, subject.normal.many())
    if len(mean) < 2:
        raise DiaboloError(
            f"The score 'latent_distance' needs 2 data at least to learn of, but got {len(mean)}."
        )
    centre = mean.mean(0)
    spread = torch.from_numpy(ledoit_wolf(mean.numpy())[0])
    spread = spread + torch.diag(variance.nan_to_num(0.0).mean(0))
    if not bool((spread.diagonal() > 0).all()):
        raise DiaboloError(
            "The score 'latent_distance' needs codes that move, but those of all data are "
            "the same: fit with more latent elements or for longer."
        )
    factor = torch.linalg.cholesky(spread)

    def judge(data: Data, seed: int) -> Tensor:
        away = (_codes(subject, data)[0] - centre).T  # (D, n)
        return torch.linalg.solve_triangular(factor, away, upper=False).square().sum(0).sqrt()

    return judge


def _codes(subject: Subject, data: Data) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of the posterior of each datum, (n, D) each, float64."""
    model = subject.model
    device = next(model.parameters()).device
    with quiet(model), autocast(subject.precision, device):
        parts = [
            torch.cat(model.encode(b.x, b.c, mask=b.mask), 1).double().cpu()
            for b in batches(model, data, rows_of(model, device))
        ]
    mean, variance = torch.cat(parts).chunk(2, 1)
    return mean, variance
