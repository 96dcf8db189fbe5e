"""What is asked of a code beside that it can be decoded: to be sparse, steady, and of use.

Shapes: N data, D elements of the code, E event shape of x.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import ranks
from ..charges import encoder
from ..data import Data
from ..errors import DiaboloError
from ..jacobians import rows
from ..model import LatentModel
from ..noise import MEAN, KeyedNoise
from .passes import batches, decoder_rows, quiet

__all__ = ["hoyer", "jacobian_norm", "probe_accuracy"]

PART = 16  # of the data that are decoded at once: each has a gradient for each element of its code


def hoyer(z: Tensor) -> Tensor:
    r"""Returns how sparse each code is: 1 with one element on, 0 with all of one size.

    .. math:: \frac{\sqrt D - \|z\|_1 / \|z\|_2}{\sqrt D - 1}

    References:
        | Non-negative Matrix Factorization with Sparseness Constraints (Hoyer, 2004), section 3.1
        | https://www.jmlr.org/papers/v5/hoyer04a.html

    Arguments:
        z: Codes (N, D).

    Returns:
        The sparseness (N,), float64; NaN for a code of zeros.

    Raises:
        DiaboloError: If the codes have one element.
    """
    if z.ndim != 2 or z.shape[1] < 2:
        raise DiaboloError(f"Sparseness is of codes (N, D) with D >= 2, but got {tuple(z.shape)}.")
    z, root = z.double(), math.sqrt(z.shape[1])
    return (root - z.abs().sum(1) / z.norm(dim=1)) / (root - 1)


def jacobian_norm(model: LatentModel, data: Data) -> Tensor:
    """Returns the Frobenius norm of the encoder's Jacobian at each datum, (N,), float64.

    It is that of the posterior's mean of z by what the encoder reads of the values that were seen:
    standardised values, or channels of codes. It has the scale of the code, so that it compares two
    models only beside the standard deviation of their codes.

    Raises:
        DiaboloError: If the data do not fit the model.
    """
    device = next(model.parameters()).device
    found = []
    with quiet(model):
        for b in batches(model, data, max(1, decoder_rows(data, device) // PART)):
            _, c = model.infer(b.x, b.c, mask=b.mask, noise=MEAN)
            seen = model.view(b.x, b.mask, MEAN)
            lengths = rows(encoder(model, seen, c, b.mask), seen)  # (B, D)
            found.append(lengths.double().norm(dim=1).cpu())
    return ranks.gather(torch.cat(found), len(data))


def probe_accuracy(
    model: LatentModel, train: Data, test: Data, *, noise: float = 0.0, seed: int = 0
) -> float:
    """Returns how many labels a linear classifier tells right from the codes of a noisy x.

    The classifier is a logistic regression on the standardised codes of the training data as they
    are; it never sees noise.

    Arguments:
        model: The model.
        train: Data with labels, for the classifier.
        test: Data with labels, to which normal noise is added.
        noise: The standard deviation of the noise, in units of x.
        seed: Keys the noise by row.

    Raises:
        DiaboloError: If data have no labels or do not fit the model.
    """
    if train.labels is None or test.labels is None:
        raise DiaboloError("A probe tells labels, but these data have none.")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    known = train.labels.cpu().numpy() != -1, test.labels.cpu().numpy() != -1
    codes = _codes(model, train, 0.0, seed).numpy(), _codes(model, test, noise, seed).numpy()
    probe.fit(codes[0][known[0]], train.labels.cpu().numpy()[known[0]])
    return float(probe.score(codes[1][known[1]], test.labels.cpu().numpy()[known[1]]))


def _codes(model: LatentModel, data: Data, noise: float, seed: int) -> Tensor:
    """Returns the posterior's mean of z for each x with noise, (N, D), float64."""
    device = next(model.parameters()).device
    found = []
    with quiet(model):
        for b in batches(model, data, decoder_rows(data, device)):
            x = b.x
            if noise:
                x = x + noise * KeyedNoise(seed, b.index, lead=1).normal(tuple(x.shape), x)
            found.append(model.encode(x, b.c, mask=b.mask)[0].double().cpu())
    return ranks.gather(torch.cat(found), len(data))
