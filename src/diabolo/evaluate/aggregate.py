r"""How far the codes of all data together are from the prior, and what the rate is spent on.

.. math::
    \text{rate} = I_q(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)), \qquad
    q(z) = \frac1N \sum_n q(z \mid x_n)

What N data can show of the information is log N at most, and its estimate is on average below that
of all data there are; KL(q(z) || p(z)) comes out too high by as much. A lower bound on that is

.. math:: \mathrm{KL}(q(z) \,\|\, p(z)) \ge \mathbb{E}_{q(z)}[\log g(z) - \log p(z)]

for any density g; here g is normal, and fitted to the codes of the other half of the data.

Shapes: N data, B data of one part, D elements of the latent.

References:
    | ELBO surgery: yet another way to carve up the variational evidence lower bound
    | (Hoffman & Johnson, 2016), in the workshop Advances in Approximate Bayesian Inference
    | On Variational Bounds of Mutual Information (Poole et al., 2019), sections 2.1 and 2.3
    | https://arxiv.org/abs/1905.06922
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..distributions import REALS, Distribution, MultivariateNormal
from ..errors import DiaboloError
from ..model import Draw, LatentModel
from ..noise import KeyedNoise
from ..objectives.aggregate import mixed
from ..objectives.base import posterior_of
from .estimate import Estimate
from .passes import batches, decoder_rows, quiet, shuffled
from .quantity import Quantity, nats

__all__ = ["AggregatePosterior", "aggregate_posterior"]

MOST = 2**23  # numbers held at once: one for each pair of data and element


OWN = 0.1  # the part of a datum's own posterior in q(z) from which on N counts for too much


@dataclass(frozen=True, eq=False)
class AggregatePosterior:
    """The rate in its parts, with q(z) the mixture of the posteriors of these N data.

    Arguments:
        information: The mutual information of datum and code, at most log N: where it comes near
            to that, more data would tell of more. Of several groups that of the first, which the
            others cannot lack: a lower bound on that of all.
        correlation: The total correlation of q(z); None where the posterior does not factorise.
        marginals: What is left of the rate; for a prior that factorises the divergence of each
            element of q(z) from it, all elements together.
        gain: By how much a normal density fitted to the codes of other data is better than the
            prior: a lower bound on KL(q(z) || p(z)), and how much the bound would rise with it as
            the prior. None where codes are no vectors of real numbers, or data are too few.
        groups: The number of latent groups.
    """

    information: Estimate
    correlation: Estimate | None
    marginals: Estimate
    gain: Estimate | None = None
    groups: int = 1

    @property
    def prior_divergence(self) -> Estimate:
        """KL(q(z) || p(z)): how far the model's samples are from its reconstructions.

        It is the rate without the information, and too high by what is not known of that.
        """
        each, made = self.marginals.per_datum, "the rate without the information"
        if self.correlation is not None:
            each = each + self.correlation.per_datum
            made = "total correlation and marginals"
        if self.groups > 1:
            made = "the rate of all groups without the information of the first"
        kind = f"{'upper bound on ' if self.at_most else ''}KL(q(z) || p(z)): {made}"
        return Estimate.of(each, None, k=1, seed=self.marginals.seed, kind=kind)

    @property
    def divergence(self) -> float:
        """The value of `prior_divergence`, in nats."""
        return self.prior_divergence.value

    @property
    def at_most(self) -> bool:
        """Whether `divergence` is only known to be no less than KL(q(z) || p(z))."""
        return self.saturated or self.groups > 1

    @property
    def ceiling(self) -> float:
        """The most that the information of N data can be, log N."""
        return math.log(self.information.n)

    @property
    def own(self) -> float:
        """The part that a datum's own posterior has in q(z) at its code, in the mean over data."""
        return float((self.information.per_datum - self.ceiling).exp().mean())

    @property
    def saturated(self) -> bool:
        """Whether N counts for so much that information is only known to be no less."""
        return self.own > OWN

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what to be careful with."""
        told = []
        n = self.information.n
        if self.groups > 1:
            told.append(
                f"q(z) is told of the first of {self.groups} groups: that of the others depends on "
                "its z, and would take a pass of the network for each pair of data. Their rate "
                "stands whole in the divergence, so that KL(q(z) || p(z)) is at most that."
            )
        if self.saturated:
            told.append(
                f"{n} data can show no more information than log N = {self.ceiling:.2f} nats, and "
                f"a datum's own posterior makes up {self.own:.0%} of q(z) at its code: the "
                "information is at least this, and KL(q(z) || p(z)) at most what stands here."
            )
        return tuple(told)

    def rows(self) -> list[Quantity]:
        """Returns the lines of a table."""
        ceiling = f"at most log N = {self.ceiling:.2f} for N = {self.information.n}"
        out = [nats("information", self.information, f"{self.information.kind}, {ceiling}")]
        if self.correlation is not None:
            out.append(nats("total correlation", self.correlation))
            out.append(nats("marginals", self.marginals))
        out.append(nats("divergence", self.prior_divergence))
        if self.gain is not None:
            out.append(nats("gain of a fitted prior", self.gain))
        return out

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers and strings."""
        told = {
            "information": self.information,
            "correlation": self.correlation,
            "marginals": self.marginals,
            "gain": self.gain,
            "divergence": self.prior_divergence,
        }
        return {
            **{name: None if e is None else e.to_json() for name, e in told.items()},
            "ceiling": self.ceiling,
            "own": self.own,
            "groups": self.groups,
        }


def aggregate_posterior(model: LatentModel, data: Data, *, seed: int = 0) -> AggregatePosterior:
    """Returns what the rate is spent on, with q(z) as it is: a mixture over all of the data.

    Of these data it has no bias; of all data there are see above. It takes a time that grows with
    the square of the number of data. Of several processes each does it all.

    Arguments:
        model: A model with a density q(z | x). Of one with several groups the first is looked at,
            whose posterior depends on x alone.
        data: The data, two at least.
        seed: Keys the sample of each datum by row.

    Raises:
        DiaboloError: If the model is another, or does not fit the data.
    """
    if model.deterministic:
        raise DiaboloError("The aggregate posterior is told of models with a density q(z|x).")
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
            draws.append(model.infer(b.x, b.c, mask=b.mask, noise=noise)[0].draws)
        posteriors = [posterior_of(d[0], what) for d in draws]
        split = mixed if _factorises(posteriors[0], draws[0][0].z) else _joint
        found = []
        for first, *others in draws:
            rest = first.log_p[0] - sum((d.log_q - d.log_p)[0] for d in others)  # (B,)
            share = first.z.new_full((1, 1), -math.log(n))
            parts = [split(first.z, q, share) for q in posteriors]
            joint = torch.stack([p[0] for p in parts]).logsumexp(0)[0]  # (B,)
            each = [p[1] for p in parts if p[1] is not None]  # (1, B, D), or none at all
            product = torch.stack(each).logsumexp(0)[0].sum(1) if each else joint
            three = (first.log_q[0] - joint, joint - product, product - rest)
            found.append(torch.stack(three).double().cpu())
        gain = _gain(model, draws, shuffled(data, seed))
    information, correlation, marginals = torch.cat(found, 1)

    def told(values: Tensor, kind: str) -> Estimate:
        return Estimate.of(values, None, k=1, seed=seed, kind=kind)

    several = len(model.groups) > 1
    of = "z1" if several else "z"
    left = "rate of the marginals of q(z)"
    if several or not each:
        left = "rate without information and total correlation"
    return AggregatePosterior(
        told(information, f"information I_q(x; {of})"),
        None if not each else told(correlation, f"total correlation of q({of})"),
        told(marginals, left),
        None if gain is None else told(gain, "normal density fitted to codes, over the prior"),
        len(model.groups),
    )


def _factorises(q: Distribution, z: Tensor) -> bool:
    """Returns whether a density has one of each element, of which a wrapped one only knows."""
    try:
        q.log_prob_elements(z)
    except DiaboloError:
        return False
    return True


def _joint(z: Tensor, q: Distribution, log_share: Tensor) -> tuple[Tensor, None]:
    """Returns what `mixed` does of densities that do not factorise: there are no elements."""
    return (q.log_prob(z.unsqueeze(2)) + log_share).logsumexp(2), None


def _gain(model: LatentModel, draws: list[tuple[Draw, ...]], order: Tensor) -> Tensor | None:
    """Returns log g(z) - log p(z) of each datum, (N,), with g fitted to the other half of them."""
    if any(model.levels) or model.space != REALS or len(order) < 4:
        return None
    z = torch.cat([torch.cat([d.z[0].flatten(1) for d in each], dim=1) for each in draws])
    log_p = torch.cat([sum((d.log_p[0] for d in each), torch.zeros(())) for each in draws])
    z, log_p = z.double().cpu(), log_p.double().cpu()
    gain = torch.empty_like(log_p)
    half = order[::2], order[1::2]
    for mine, others in (half, half[::-1]):
        gain[mine] = _fitted(z[others]).log_prob(z[mine]) - log_p[mine]
    return gain


def _fitted(z: Tensor) -> MultivariateNormal:
    """Returns a normal density of codes (n, D); the fewer they are, the less it is told to turn."""
    loc, (n, size) = z.mean(0), z.shape
    covariance = (z - loc).T @ (z - loc) / (n - 1)
    part = (size + 1) / (size + 1 + n)
    diagonal = covariance.diagonal().clamp(min=torch.finfo(z.dtype).tiny).diag()
    return MultivariateNormal(loc, torch.linalg.cholesky((1 - part) * covariance + part * diagonal))
