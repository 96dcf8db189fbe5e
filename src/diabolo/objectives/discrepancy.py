r"""The maximum mean discrepancy of the aggregate posterior from a normal prior.

.. math::
    \mathrm{MMD}^2 = \mathbb{E}\, k(z, z') - 2 \, \mathbb{E}\, k(z, y) + \mathbb{E}\, k(y, y'),
    \qquad z, z' \sim q(z), \quad y, y' \sim p(z)

Both kernels are mixtures of :math:`\exp(-a \|z - z'\|^2)`, whose mean over a normal y is known, so
that no y is drawn: the estimate has no error but that of the batch.

Shapes: K posterior samples, B data, M data of the whole batch, D elements, Q nodes of a quadrature.

References:
    | A Kernel Two-Sample Test (Gretton et al., 2012), lemma 6
    | https://jmlr.org/papers/v13/gretton12a.html
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..distributions import Normal
from ..errors import DiaboloError
from ..model import Trace
from ..ranks import batch_gather
from .aggregate import one_group, pairs
from .base import declare
from .elbo import elbo

__all__ = ["Kernel", "discrepancy", "squared_mmd"]

Kernel = Literal["imq", "rbf"]

WHAT = "The maximum mean discrepancy"
# Of the double-exponential rule for integrals of e^-s f(s), f slow, over s > 0.
FROM, TO, NODES = -3.6, 3.6, 60


@declare(batch_level=True, gathers=True, surrogate=True, groups=1)
def discrepancy(
    t: Trace,
    *,
    price: float,
    beta: float | Tensor = 1.0,
    kernel: Kernel = "imq",
    width: float = 1.0,
) -> Tensor:
    r"""ELBO with a charge for the discrepancy of the aggregate posterior from the prior.

    .. math::
        \mathbb{E}_q[\log p(x \mid z)] - \beta \, \mathrm{KL}(q(z \mid x) \,\|\, p(z))
        - \lambda \, \mathrm{MMD}^2(q(z), p(z))

    Of the discrepancy each datum pays its own part; the mean over the batch is an estimate without
    bias, which can be negative. Where the code is a point there is no rate, and the prior is
    N(0, I) if the trace has none.

    References:
        | InfoVAE: Balancing Learning and Inference in Variational Autoencoders (Zhao, Song & Ermon,
        | 2019), eq. 6, https://arxiv.org/abs/1706.02262
        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018), algorithm 2
        | https://arxiv.org/abs/1711.01558

    Arguments:
        t: A trace of a batch, with one latent group whose prior is normal and the same for all.
        price: Nats for each unit of the squared discrepancy, lambda.
        beta: The price of one nat of rate.
        kernel: `imq` or `rbf`, see `squared_mmd`.
        width: Of the kernel.

    Returns:
        The objective in nats, (B,); no bound.

    Raises:
        DiaboloError: If there are several groups, the prior is another, or the batch has one datum.
    """
    d = one_group(t, WHAT)
    if d.p is not None and (not isinstance(d.p, Normal) or d.p.batch_shape):
        raise DiaboloError(
            f"{WHAT} is known for a normal prior that is the same for all data, not for "
            f"{type(d.p).__name__}: use prior='normal'."
        )
    found = squared_mmd(d.z.flatten(2), d.p, kernel=kernel, width=width)
    return elbo(t, beta=beta) - price * found.mean(0)


def squared_mmd(
    z: Tensor, p: Normal | None = None, *, kernel: Kernel = "imq", width: float = 1.0
) -> Tensor:
    r"""Returns the part of each sample in the squared discrepancy from a normal density, (K, B).

    .. math::
        k(z, z') = \frac{C}{C + \|z - z'\|^2} \;\text{(imq)}, \qquad
        \exp\Big(-\frac{\|z - z'\|^2}{C}\Big) \;\text{(rbf)}, \qquad C = 2 D w^2

    C is the mean squared distance of two draws of N(0, I), times the squared width. The mean over
    the batch is the U-statistic, without the pairs of a sample with itself; it is taken for each of
    the K draws of a batch by itself.

    .. math::
        \frac{C}{C + r} = \int_0^\infty e^{-s} e^{-s r / C} \, ds, \qquad
        \mathbb{E}\, e^{-a (z - y)^2} = \frac{1}{\sqrt{1 + 2 a \sigma^2}}
        \exp\Big(-\frac{a (z - \mu)^2}{1 + 2 a \sigma^2}\Big)

    The integral is taken by a rule that leaves an error of rounding only.

    References:
        | Double Exponential Formulas for Numerical Integration (Takahasi & Mori, 1974)
        | https://doi.org/10.2977/prims/1195192451

    Arguments:
        z: Samples (K, B, D), independent of each other along B.
        p: The density of y (D,); None for N(0, I).
        kernel: `imq` or `rbf`.
        width: The kernel's width w, in units of the standard deviation of N(0, I).

    Raises:
        DiaboloError: If the batch has one datum.
    """
    whole, same = batch_gather(z, 1), pairs(z.shape[1], z, WHAT)
    c = 2 * z.shape[2] * width**2
    square = (z.unsqueeze(2) - whole.unsqueeze(1)).square().sum(3) / c  # (K, B, M)
    close = torch.exp(-square) if kernel == "rbf" else 1 / (1 + square)
    near = torch.where(same, 0.0, close).sum(2) / (same.shape[1] - 1)
    loc, log_scale = (z.new_zeros(1), z.new_zeros(1)) if p is None else (p.loc, p.log_scale)
    a, mass = _rates(kernel, z)
    a, variance = a[:, None] / c, torch.exp(2 * log_scale).expand(z.shape[2])  # (Q, 1), (D,)
    away = (z - loc).square().unsqueeze(2)  # (K, B, 1, D)
    wide = 1 + 2 * a * variance  # (Q, D)
    embedded = torch.exp(-(a * away / wide).sum(3) - 0.5 * wide.log().sum(1))  # (K, B, Q)
    own = torch.exp(-0.5 * (1 + 4 * a * variance).log().sum(1))  # (Q,)
    # Sums and no products of matrices, which lower precisions would round.
    return near - 2 * (embedded * mass).sum(2) + (own * mass).sum()


def _rates(kernel: Kernel, like: Tensor) -> tuple[Tensor, Tensor]:
    """The rates s of the exponentials exp(-s r / C) that a kernel is made of, and their masses."""
    if kernel == "rbf":
        return like.new_ones(1), like.new_ones(1)
    u = torch.linspace(FROM, TO, NODES, dtype=like.dtype, device=like.device)
    s = torch.exp(u - torch.exp(-u))
    return s, s * (1 + torch.exp(-u)) * torch.exp(-s) * ((TO - FROM) / (NODES - 1))
