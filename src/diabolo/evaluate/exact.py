r"""Log-likelihood without sampling, for the models of which it can be had.

For a normal prior and a decoder whose mean is affine in z, with noise that z does not change,

.. math:: \log p(x) = \log \mathcal{N}(x; \, W m + b, \; W S W^\top + \mathrm{diag}(\sigma^2))

and what was not seen is left out of x, W, b and sigma. A discrete z with few values is summed
over. Of any other model whose z has one or two elements p(x, z) is integrated numerically.

Shapes: B batch, N data, D latent elements, E elements of x.

References:
    | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), eq. 6
    | https://doi.org/10.1111/1467-9868.00196
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..errors import DiaboloError
from ..model import LatentModel
from .continuous import check_continuous, densities, has_density
from .estimate import Estimate, Kind
from .importance import importance
from .linear import linear
from .passes import Progress, batches, decoder_rows, dequantized, quiet, subject
from .quadrature import quadrature

__all__ = ["exact"]

NAME = "An exact likelihood"


def exact(
    model: LatentModel,
    data: Data,
    *,
    tolerance: float = 1e-4,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Returns log p(x) of each datum by formula, by a sum over z, or by quadrature.

    Which of them it was `kind` says. Whether a decoder is affine is found out by its values at
    many z. Computation is in float64, whatever type the weights have.

    Arguments:
        model: A model with a normal prior and an affine decoder, with a discrete latent of few
            values, or with a continuous latent of one or two elements.
        data: The data; entries that were not seen are integrated over.
        tolerance: For quadrature: the greatest change in nats, of any datum, between one grid
            and the next of half its spacing.
        batch: Data that are gone through at once; None picks a number.
        progress: Called with the part that is done, from 0 to 1.

    Returns:
        The estimate, whose `mc_stderr` is 0.

    Raises:
        DiaboloError: If the model is deterministic, or none of these, or does not fit the data.
    """
    has_density(model)
    if model.exact:
        return importance(model, data, k=1, batch=batch, progress=progress)
    check_continuous(model, NAME)
    double = copy.deepcopy(model).double()
    size = batch or max(1, decoder_rows(data, next(model.parameters()).device) // 4)
    parts: list[Tensor] = []
    closed = True
    with quiet(double):
        for b in batches(double, data, size, progress):
            part = _closed_form(double, b)
            if part is None:
                closed = False
                break
            parts.append(part)
    if not _all_agree(closed):
        if sum(model.groups) > 2:
            raise DiaboloError(
                f"{NAME} needs an affine decoder with a normal prior, or 1 or 2 latent elements "
                f"to integrate over, but this model has {sum(model.groups)}: use "
                "the method 'annealed'."
            )
        return quadrature(double, data, tolerance=tolerance, batch=batch, progress=progress)
    value = ranks.gather(torch.cat(parts), len(data))
    how = "closed form of a linear-Gaussian model"
    kind = Kind(subject(model, data), "{}, exact", how, dequantized(data))
    return Estimate.of(value, torch.zeros_like(value), k=1, seed=0, kind=kind)


def _all_agree(yes: bool) -> bool:
    """Whether all processes say yes (together)."""
    return int(ranks.total(torch.tensor(int(not yes)))) == 0


def _closed_form(model: LatentModel, b: Batch) -> Tensor | None:
    """Returns log p(x | c) of a batch, (B,) on the CPU; None for another model."""
    found = linear(model, densities(model, b, NAME), b)
    if found is None:
        return None
    x = b.x.flatten(1)
    seen = torch.ones_like(x) if b.mask is None else b.mask.flatten(1).to(x.dtype)
    rest = torch.where(seen > 0, x - found.bias, 0.0)  # (B, E)
    precision = seen / found.variance
    weight = found.weight.expand(-1, *x.shape)
    # The matrix lemmas bring determinant and inverse from E to D dimensions.
    scaled = weight * precision
    inner = torch.einsum("dbe,fbe->bdf", scaled, weight) + torch.eye(len(weight)).to(x)
    factor = torch.linalg.cholesky(inner)
    pull = torch.einsum("dbe,be->bd", scaled, rest)
    solved = torch.linalg.solve_triangular(factor, pull[..., None], upper=False)[..., 0]
    square = (precision * rest * rest).sum(1) - solved.square().sum(1)
    volume = (seen * found.variance.log()).sum(1)
    volume = volume + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return -0.5 * (square + volume + seen.sum(1) * math.log(2 * math.pi)).cpu()
