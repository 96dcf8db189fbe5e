r"""The kernel distance: the maximum mean discrepancy with a cubic polynomial kernel.

.. math::
    \mathrm{MMD}^2 = \mathbb{E}\, k(x, x') - 2 \, \mathbb{E}\, k(x, y) + \mathbb{E}\, k(y, y'),
    \qquad k(x, y) = \Big( \frac{x \cdot y}{D} + 1 \Big)^3

It is estimated from all pairs of different points, without bias, so that it can be negative.

Shapes: N data x, M samples y, D features, m blocks.

References:
    | Demystifying MMD GANs (Binkowski et al., 2018), section 4
    | https://arxiv.org/abs/1801.01401
    | A Kernel Two-Sample Test (Gretton et al., 2012), lemma 6
    | https://jmlr.org/papers/v13/gretton12a.html
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .comparison import BLOCKS, Comparison, blocks, left, points

__all__ = ["kernel_distance"]

HELD = 2**22  # values of the kernel held at once: 32 MiB


def kernel_distance(data: Tensor, samples: Tensor, *, seed: int = 0) -> Comparison:
    """Returns the squared kernel distance of samples from data, without bias, in float64.

    Arguments:
        data: Points (N, D).
        samples: Points (M, D).
        seed: Draws the blocks that are left out for the errors.

    Raises:
        DiaboloError: If shapes differ, or there are fewer than 40 points of a kind.
    """
    x, y = points(data, samples)
    n, m = len(x), len(y)
    x_blocks, y_blocks = _hot(n, seed), _hot(m, seed + 1)  # (N, m), (M, m)
    xx, yy = _same(x, x_blocks), _same(y, y_blocks)
    xy = _summed(x, y, x_blocks, y_blocks)
    x_mean, x_means = _mean(xx, x_blocks)
    y_mean, y_means = _mean(yy, y_blocks)
    cross = xy.sum() / (n * m)
    x_cross = (xy.sum() - xy.sum(1)) / ((n - x_blocks.sum(0)) * m)
    y_cross = (xy.sum() - xy.sum(0)) / ((m - y_blocks.sum(0)) * n)
    value = float(x_mean + y_mean - 2 * cross)
    of_data = left(value, x_means + y_mean - 2 * x_cross)
    mc = left(value, x_mean + y_means - 2 * y_cross)
    kind = "squared kernel distance (cubic polynomial, all pairs, no bias)"
    return Comparison(value, mc.stderr, of_data.stderr, n, m, kind, same=0.0)


def _hot(n: int, seed: int) -> Tensor:
    """Returns in which block each row is, (n, m)."""
    return one_hot(blocks(n, seed), BLOCKS).double()


def _summed(x: Tensor, y: Tensor, x_blocks: Tensor, y_blocks: Tensor) -> Tensor:
    """Returns the sums of the kernel over the pairs of two blocks, (m, m)."""
    found = torch.zeros(BLOCKS, BLOCKS, dtype=x.dtype)
    for part, own in zip(
        x.split(size := max(1, HELD // len(y))), x_blocks.split(size), strict=True
    ):
        base = (part @ y.T).div_(x.shape[1]).add_(1)
        found += own.T @ (base.square().mul_(base) @ y_blocks)
    return found


def _same(x: Tensor, own: Tensor) -> Tensor:
    """Returns the sums over the pairs of different points of one set, (m, m)."""
    alone = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return _summed(x, x, own, own) - (alone @ own).diag()


def _mean(sums: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean over pairs of different points, (), and that without each block, (m,)."""
    n, without = own.sum(), own.sum() - own.sum(0)
    kept = sums.sum() - sums.sum(0) - sums.sum(1) + sums.diag()
    return sums.sum() / (n * (n - 1)), kept / (without * (without - 1))
