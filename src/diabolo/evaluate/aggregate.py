r"""How far the codes of all data together are from the prior, and what the rate is spent on.

.. math::
    \text{rate} = I_q(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)), \qquad
    q(z) = \frac1N \sum_n q(z \mid x_n)

Shapes: N data, B data of one part, D elements of the latent.

References:
    | ELBO surgery: yet another way to carve up the variational evidence lower bound
    | (Hoffman & Johnson, 2016), in the workshop Advances in Approximate Bayesian Inference
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .. import ranks
from ..data import Data
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import KeyedNoise
from ..objectives.aggregate import mixed
from ..objectives.base import posterior_of
from .estimate import Estimate
from .passes import batches, decoder_rows, quiet

__all__ = ["AggregatePosterior", "aggregate_posterior"]

MOST = 2**23  # numbers held at once: one for each pair of data and element


@dataclass(frozen=True, eq=False)
class AggregatePosterior:
    """The rate in its three parts, with q(z) the mixture of the posteriors of these N data.

    Arguments:
        information: The mutual information of datum and code, at most log N: where it comes near
            to that, more data would tell of more.
        correlation: The total correlation of q(z).
        marginals: What is left of the rate; for a prior that factorises the divergence of each
            element of q(z) from it, all elements together.
    """

    information: Estimate
    correlation: Estimate
    marginals: Estimate

    @property
    def divergence(self) -> float:
        """KL(q(z) || p(z)) in nats: how far the model's samples are from its reconstructions."""
        return self.correlation.value + self.marginals.value


def aggregate_posterior(model: LatentModel, data: Data, *, seed: int = 0) -> AggregatePosterior:
    """Returns what the rate is spent on, with q(z) as it is: a mixture over all of the data.

    It has no bias, and takes a time that grows with the square of the number of data. Of several
    processes each does it all.

    Arguments:
        model: A model with one latent group, whose posterior factorises.
        data: The data, two at least.
        seed: Keys the sample of each datum by row.

    Raises:
        DiaboloError: If the model is another, or does not fit the data.
    """
    if model.deterministic or len(model.groups) != 1:
        raise DiaboloError(
            "The aggregate posterior is told of models with one latent group and a density q(z|x)."
        )
    n = len(data)
    if n < 2:
        raise DiaboloError(f"An aggregate posterior needs at least two data, but got {n}.")
    what = "The aggregate posterior"
    device = next(model.parameters()).device
    size = min(decoder_rows(data, device), max(16, math.isqrt(MOST // model.groups[0])))
    with ranks.alone(), quiet(model):
        draws = []
        for b in batches(model, data, size):
            noise = KeyedNoise(seed, b.index)
            draws.append(model.infer(b.x, b.c, mask=b.mask, noise=noise)[0].draws[0])
        posteriors = [posterior_of(d, what) for d in draws]
        found = []
        for d in draws:
            share = d.z.new_full((1, 1), -math.log(n))
            parts = [mixed(d.z, q, share) for q in posteriors]
            joint = torch.stack([p[0] for p in parts]).logsumexp(0)[0]  # (B,)
            product = torch.stack([p[1] for p in parts]).logsumexp(0)[0].sum(1)
            three = (d.log_q[0] - joint, joint - product, product - d.log_p[0])
            found.append(torch.stack(three).double().cpu())
    kinds = ("information I_q(x; z)", "total correlation of q(z)", "rate of the marginals of q(z)")
    return AggregatePosterior(
        *(
            Estimate.of(values, None, k=1, seed=seed, kind=kind)
            for values, kind in zip(torch.cat(found, 1), kinds, strict=True)
        )
    )
