r"""What the rate pays for, once the posteriors of all data are put together.

.. math::
    \mathbb{E}_x \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = I_q(x; z)
    + \mathrm{KL}\Big(q(z) \,\Big\|\, \prod_j q(z_j)\Big)
    + \mathbb{E}_{q(z)} \log \frac{\prod_j q(z_j)}{p(z)}, \qquad
    q(z) = \frac1N \sum_n q(z \mid x_n)

with the information of the code on which datum it is of, its total correlation, and, where the
prior factorises, the divergence of each element from it.

Shapes: K posterior samples, B data whose samples these are, M data of the mixture, D elements.

References:
    | ELBO surgery (Hoffman & Johnson, 2016), http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
    | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018), eq. 2
    | https://arxiv.org/abs/1802.04942
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..distributions import Distribution
from ..errors import DiaboloError
from ..model import Draw, Trace
from ..ranks import batch_place
from .base import only_draw, posterior_of

__all__ = [
    "Aggregate",
    "Sampling",
    "aggregate",
    "log_shares",
    "mixed",
    "one_group",
    "pairs",
    "place",
]

Sampling = Literal["stratified", "weighted"]


class Aggregate(NamedTuple):
    """The rate of each sample in three parts, (K, B) in nats; they sum to log q(z|x) - log p(z).

    Attributes:
        information: log q(z|x) - log q(z), whose mean is the mutual information of x and z.
        correlation: log q(z) - log of the product of its marginals, in the mean the total
            correlation.
        marginals: The rest, in the mean the divergence of each element from the prior.
    """

    information: Tensor
    correlation: Tensor
    marginals: Tensor


def one_group(t: Trace, what: str) -> Draw:
    """The one group of samples of a trace, for what is said of an aggregate posterior.

    Raises:
        DiaboloError: If there are several groups, or z is enumerated.
    """
    return only_draw(t, what, "the posterior of one group depends on the z of another")


def place(n: int, like: Tensor, what: str) -> tuple[int, int]:
    """Returns where this process's n data begin in the whole batch, and how many that has.

    Raises:
        DiaboloError: If the batch has one datum.
    """
    start, size = batch_place(n, like)
    if size < 2:
        raise DiaboloError(
            f"{what} compares the data of a batch, but this one has a single datum: take a larger "
            "batch_size."
        )
    return start, size


def pairs(n: int, like: Tensor, what: str) -> Tensor:
    """Returns which pairs of these n data and those of the whole batch are the same, (B, M).

    Raises:
        DiaboloError: If the batch has one datum.
    """
    start, size = place(n, like, what)
    here = torch.arange(start, start + n, device=like.device)
    return here[:, None] == torch.arange(size, device=like.device)


def log_shares(same: Tensor, like: Tensor, data: int, sampling: str) -> Tensor:
    """Returns the logarithm of the part of each datum in the mixture, (B, M), see `aggregate`."""
    size = same.shape[1]
    count = max(data, size)
    own, other = 1 / count, (count - 1) / (count * (size - 1))
    if sampling == "weighted":
        own = other = 1 / (count * size)
    return torch.where(same, like.new_full((), math.log(own)), math.log(other))


def mixed(z: Tensor, q: Distribution, log_share: Tensor) -> tuple[Tensor, Tensor]:
    """Returns log q(z), (K, B), and log q(z_j) of each element, (K, B, D).

    Arguments:
        z: Samples (K, B, *D).
        q: Posteriors of M data, whose elements are independent.
        log_share: The logarithm of the part of each in the mixture of each sample, (B, M).
    """
    each = q.log_prob_elements(z.unsqueeze(2)).flatten(3)  # (K, B, M, D)
    joint = (each.sum(3) + log_share).logsumexp(2)
    return joint, (each + log_share[..., None]).logsumexp(2)


def aggregate(t: Trace, *, data: int | None = None, sampling: Sampling = "stratified") -> Aggregate:
    r"""Returns the rate in its three parts, the aggregate posterior estimated from the batch.

    A sample z of the datum n is held against its own posterior and those of the M - 1 others of
    its batch, in parts of

    .. math::
        \frac1N \;\text{ and }\; \frac{N - 1}{N (M - 1)} \quad \text{(stratified)}, \qquad
        \frac1{N M} \quad \text{(weighted)}

    `stratified` is without bias for the densities q(z) and q(z_j): it is the estimator of Chen et
    al., who give one of the others another part, in the mean over the order of the batch. With
    M = N, the whole population, it is exact. Of a smaller batch the logarithm is too low in the
    mean: information comes out too high, though never above log N, and correlation too low where
    posteriors meet in single elements but not in all. `weighted` is biased in the densities too,
    as its parts sum to 1 / N: information is too high by log M (posteriors far apart) to log N
    (posteriors alike), and correlation by about D - 1 times as much. Its gradient is that of the
    batch's own mixture. Either way the three parts have the right sum, sample by sample.

    References:
        | Chen et al. (2018), section 4.1 and appendices C.1 and C.2

    Arguments:
        t: A trace of a batch, with one latent group whose posterior factorises.
        data: The number N of training data; None if the batch is all there is.
        sampling: `stratified` or `weighted`.

    Raises:
        DiaboloError: If there are several groups, the posterior does not factorise, or the batch
            has one datum.
    """
    what = "The total correlation"
    d = one_group(t, what)
    q = posterior_of(d, what).whole()
    same = pairs(d.z.shape[1], d.z, what)
    log_share = log_shares(same, d.z, data or 0, sampling)
    joint, each = mixed(d.z, q, log_share)
    product = each.sum(2)
    return Aggregate(d.log_q - joint, joint - product, product - d.log_p)
