r"""The Frechet distance of two sets of points: that of the normal densities with their moments.

.. math::
    d^2 = \|\mu_x - \mu_y\|^2 + \mathrm{tr}\,\Sigma_x + \mathrm{tr}\,\Sigma_y
    - 2 \, \big\| \Sigma_x^{1/2} \Sigma_y^{1/2} \big\|_*

The last term, a sum of singular values, is :math:`\mathrm{tr} (\Sigma_x \Sigma_y)^{1/2}`, without
the square root of a matrix that is not symmetric. The distance of finite sets is too large by a
term in 1/N, which leaving blocks out estimates: sets are compared at equal N.

Shapes: N data, M samples, D features.

References:
    | The Frechet distance between multivariate normal distributions (Dowson & Landau, 1982), eq. 4
    | https://doi.org/10.1016/0047-259X(82)90077-X
    | GANs Trained by a Two Time-Scale Update Rule (Heusel et al., 2017), eq. 6
    | https://arxiv.org/abs/1706.08500
    | Effectively Unbiased FID and Inception Score (Chong & Forsyth, 2020), section 3
    | https://arxiv.org/abs/1911.07023
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .comparison import BLOCKS, Comparison, blocks, left, points

__all__ = ["frechet", "frechet_distance"]


class _Sums(NamedTuple):
    """Of each block of points: their number (m,), sum (m, D) and sum of products (m, D, D)."""

    number: Tensor
    first: Tensor
    second: Tensor

    def moments(self, without: int | None = None) -> tuple[Tensor, Tensor]:
        """Returns the mean (D,) and the covariance (D, D) of all points but those of a block."""
        keep = torch.ones(len(self.number), dtype=torch.float64)
        if without is not None:
            keep[without] = 0
        n = keep @ self.number
        mean = keep @ self.first / n
        square = torch.tensordot(keep, self.second, 1)
        return mean, (square - n * torch.outer(mean, mean)) / (n - 1)


def frechet(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> Tensor:
    """Returns the squared Frechet distance of two normal densities, ().

    Arguments:
        mean: Of one, (D,).
        covariance: Of one, (D, D).
        other_mean: Of the other, (D,).
        other_covariance: Of the other, (D, D).
    """
    roots = _root(covariance) @ _root(other_covariance)
    apart = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace()
    return apart - 2 * torch.linalg.svdvals(roots).sum()


def frechet_distance(data: Tensor, samples: Tensor, *, seed: int = 0) -> Comparison:
    """Returns the squared Frechet distance of samples from data, in float64.

    Arguments:
        data: Points (N, D).
        samples: Points (M, D), best as many.
        seed: Draws the blocks that are left out for the errors.

    Raises:
        DiaboloError: If shapes differ, or there are fewer than 40 points of a kind.
    """
    x, y = points(data, samples)
    centre = x.mean(0)  # sums of squares keep their digits near 0
    x_sums, y_sums = _sums(x - centre, seed), _sums(y - centre, seed + 1)
    ours, theirs = x_sums.moments(), y_sums.moments()
    value = float(frechet(*ours, *theirs))
    of_data = left(
        value, torch.stack([frechet(*x_sums.moments(j), *theirs) for j in range(BLOCKS)])
    )
    mc = left(value, torch.stack([frechet(*ours, *y_sums.moments(j)) for j in range(BLOCKS)]))
    bias = of_data.bias + mc.bias
    kind = f"squared Frechet distance, of which about {bias:.2g} is due to N = {len(x)}"
    kind += f", M = {len(y)}" if len(y) != len(x) else ""
    return Comparison(value, mc.stderr, of_data.stderr, len(x), len(y), kind, bias=bias)


def _sums(x: Tensor, seed: int) -> _Sums:
    own = blocks(len(x), seed)
    parts = [x[own == j] for j in range(BLOCKS)]
    return _Sums(
        torch.tensor([len(p) for p in parts], dtype=x.dtype),
        torch.stack([p.sum(0) for p in parts]),
        torch.stack([p.T @ p for p in parts]),
    )


def _root(covariance: Tensor) -> Tensor:
    """Returns the symmetric square root; a negative eigenvalue is one of rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
