r"""p(unseen | seen entries of x), as a mixture of p(x | z) over z that the seen entries allow.

.. math::
    p(x_u \mid x_s) = \int p(x_u \mid z) \, p(z \mid x_s) \, dz
    \approx \sum_i w_i \, p(x_u \mid z_i)

Unseen entries are independent of the seen ones given z, so that all is done once there are z with
weights. Two ways lead to them. By importance, z is drawn from q(z | x_s) and weighed by
:math:`p(x_s, z) / q(z \mid x_s)`; where z has few values, each is taken with its probability. By a
Gibbs chain, z and x_u take turns, each step a proposal of q that is accepted or refused.

Shapes: S weighted z, K samples, C chains, B batch, D latent elements, E event shape of x.

References:
    | MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets
    | (Mattei & Frellsen, 2019), section 2.3, https://arxiv.org/abs/1812.02633
    | Stochastic Backpropagation and Approximate Inference (Rezende, Mohamed & Wierstra, 2014),
    | appendix F (the chain without refusals), https://arxiv.org/abs/1401.4082
    | Leveraging the Exact Likelihood of Deep Latent Variable Models (Mattei & Frellsen, 2018),
    | section 3.2 (with them), https://arxiv.org/abs/1802.04826
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import Batch
from ..distributions import Distribution
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel
from ..noise import KeyedNoise, Noise
from ..registry import parse_call, typed
from .continuous import check_continuous, densities, draws, has_density

__all__ = ["Mixing", "Unseen", "mixing"]

CHAINS = "The method 'gibbs'"
CANDIDATES = 20  # draws of q(z | x_s) of which a chain starts with one, by their weights
BURNT = 5  # the first of so many parts of a chain is left out


class Unseen(NamedTuple):
    """What the seen entries of a batch say of the others: p(x | z) for weighted z.

    Attributes:
        code: What the likelihood reads, (S, B, *).
        c: The condition as the likelihood reads it, (B, C), or None.
        px: p(x | z, c), of batch shape (S, B).
        weight: The weight of each z, (S, B), float64; they sum to one over S.
        told: The effective sample size of each datum's weights, or the part of the moves of its
            chains that were accepted, (B,), float64; None where z was gone through value by value.
    """

    code: Tensor
    c: Tensor | None
    px: Distribution
    weight: Tensor
    told: Tensor | None

    def pick(self, model: LatentModel, n: int, noise: Noise) -> Tensor:
        """Returns n independent draws of x, (n, B, *E): of z by weight, then of p(x | z)."""
        at = noise.uniform((n, self.weight.shape[1]), self.weight)
        return self._at(model, at).sample((), noise)

    def even(self, model: LatentModel, n: int, noise: Noise) -> Distribution:
        """Returns p(x | z) of n z that weigh the same, of batch shape (n, B).

        Each z is there n times its weight, rounded up or down, in the order of z: the systematic
        resampling of Carpenter, Clifford and Fearnhead (1999), https://doi.org/10.1049/ip-rsn:19990255.
        """
        step = torch.arange(n, device=self.weight.device)[:, None]
        first = noise.uniform((1, self.weight.shape[1]), self.weight)
        return self._at(model, (step + first) / n)

    def _at(self, model: LatentModel, share: Tensor) -> Distribution:
        """Returns p(x | z) of the z at which so large shares of the weight are reached, (n, B)."""
        rising = self.weight.cumsum(0)
        rising = rising / rising[-1:]
        chosen = torch.searchsorted(rising.T.contiguous(), share.T.contiguous()).T  # (n, B)
        chosen = chosen.clamp(max=len(rising) - 1)
        index = chosen[(..., *[None] * (self.code.ndim - 2))]
        code = self.code.gather(0, index.expand(-1, -1, *self.code.shape[2:]))
        return model.likelihood(code, self.c)


class Mixing(NamedTuple):
    """A method with its options.

    Attributes:
        name: Its name.
        mix: From a model, a batch and a seed to the mixture.
        size: The number S of z for each datum.
    """

    name: str
    mix: Callable[[LatentModel, Batch, int], Unseen]
    size: int


def mixing(model: LatentModel, method: str) -> Mixing:
    """Returns the method that a text names: `importance(k=500)`, `gibbs(chains=10, sweeps=60)`.

    Arguments:
        model: What it is for.
        method: Its name, with options in brackets.

    Raises:
        DiaboloError: If there is none such, an option is unknown, out of range or of no effect, or
            the model has no density or not the latent that the method needs.
    """
    has_density(model)
    word, options = parse_call(method)
    if word not in METHODS:
        raise unknown("method of conditional sampling", word, METHODS)
    function, size = METHODS[word]
    options = typed(f"method '{word}'", function, options)
    if function is gibbs:
        check_continuous(model, CHAINS)
        if model.likelihood.family.given:
            raise DiaboloError(
                f"{CHAINS} needs a density of x by itself, but this one is given "
                f"{model.likelihood.family.given}: use the method 'importance'."
            )
    if model.exact and options:
        raise DiaboloError(
            "All values of this model's z are gone through, without sampling: leave "
            f"'{next(iter(options))}' out."
        )
    return Mixing(word, partial(function, **options), size(model, **options))


def importance(model: LatentModel, b: Batch, seed: int, *, k: int = 500) -> Unseen:
    """Returns K draws of q(z | x_s), weighed; or all z, with their probabilities given x_s.

    Arguments:
        model: A model with a posterior density.
        b: The data, with the mask of what was seen.
        seed: Keys the draws.
        k: Draws for each datum, of what is not gone through value by value.
    """
    noise = KeyedNoise(seed, b.index)
    z, c = model.infer(b.x, b.c, k=k, mask=b.mask, noise=noise, every=True)
    px = model.likelihood(z.code, c)
    log_weight = px.log_prob(b.x, b.mask).double()
    for d in z.draws:
        log_weight = log_weight + (d.log_p - d.log_q).double()
    if z.log_share is not None:
        log_weight = log_weight + z.log_share
    lost = log_weight.isneginf().all(0)  # no z explains what was seen
    weight = torch.where(lost, 0.0, log_weight).softmax(0)
    size = torch.where(lost, 0.0, 1 / weight.square().sum(0))
    return Unseen(z.code, c, px, weight, None if model.exact else size)


def gibbs(
    model: LatentModel,
    b: Batch,
    seed: int,
    *,
    chains: int = 10,
    sweeps: int = 60,
    correct: bool = True,
) -> Unseen:
    """Returns the z that chains visit after their first fifth, which weigh the same.

    A sweep has two moves, each followed by new unseen entries of p(x_u | z). The first proposes z
    of q(z | x_s) and keeps p(z | x_s), whatever the unseen entries are; the second proposes z of
    q(z | x_s, x_u), which may fit better where q was trained on whole data, and keeps
    p(z | x_s, x_u). Without `correct` there is the second move alone, and never a refusal: that is
    the pseudo-Gibbs chain, whose limit is not the model's own conditional unless q is exact.

    References:
        | Conditional Sampling of Variational Autoencoders via Iterated Approximate Ancestral
        | Sampling (Simkus & Gutmann, 2023), for the move over the unseen entries
        | https://arxiv.org/abs/2308.09078

    Arguments:
        model: A model whose latent is one vector of continuous numbers.
        b: The data, with the mask of what was seen.
        seed: Keys the draws.
        chains: Chains for each datum.
        sweeps: The length of a chain.
        correct: Whether proposals are accepted or refused, so that the limit is the conditional.
    """
    at = densities(model, b, CHAINS)
    noise = KeyedNoise(seed, b.index)
    n, seen = len(b.x), b.mask
    hole = None if seen is None else ~seen

    def given(z: Tensor) -> Distribution:
        return model.likelihood(z, at.c)

    def filled(z: Tensor) -> Tensor:  # x with new unseen entries, (C, B, *E)
        drawn = given(z).sample((), noise)
        return b.x.expand_as(drawn) if hole is None else torch.where(hole, drawn, b.x)

    def log_weight(
        z: Tensor, q: Callable[[Tensor], Tensor], x: Tensor, mask: Tensor | None
    ) -> Tensor:
        return (at.p.log_prob(z) - q(z) + given(z).log_prob(x, mask)).double()

    def moved(z: Tensor, other: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        accepted = noise.uniform(tuple(gain.shape), gain).log() < gain
        return torch.where(accepted[..., None], other, z), accepted.double().mean(0)

    first = draws(at.q, CANDIDATES, n, noise)
    share = log_weight(first, at.q.log_prob, b.x, seen).nan_to_num(neginf=-1e300).softmax(0)
    start = torch.searchsorted(
        share.cumsum(0).T.contiguous(), noise.uniform((chains, n), share).T.contiguous()
    ).T.clamp(max=CANDIDATES - 1)
    z = first.gather(0, start[..., None].expand(-1, -1, first.shape[-1]))
    x = filled(z)
    kept: list[Tensor] = []
    accepted: list[Tensor] = []
    for sweep in range(sweeps):
        if correct:
            other = draws(at.q, chains, n, noise)
            gain = log_weight(other, at.q.log_prob, b.x, seen)
            gain = gain - log_weight(z, at.q.log_prob, b.x, seen)
            z, part = moved(z, other, gain)
            accepted.append(part)
            x = filled(z)
        q = _posterior(model, b, x)
        other = q.sample((), _Folded(noise, chains)).unflatten(0, (chains, n))
        if correct:

            def log_q(z: Tensor, q: Distribution = q) -> Tensor:
                return q.log_prob(z.flatten(0, 1)).unflatten(0, (chains, n))

            gain = log_weight(other, log_q, x, None) - log_weight(z, log_q, x, None)
            z, part = moved(z, other, gain)
            accepted.append(part)
        else:
            z = other
        x = filled(z)
        if sweep >= sweeps // BURNT:
            kept.append(z)
    code = torch.cat(kept)
    weight = torch.full(code.shape[:2], 1 / len(code), dtype=torch.float64, device=code.device)
    told = torch.stack(accepted).mean(0) if correct else weight.new_ones(n)
    return Unseen(code, at.c, given(code), weight, told)


def _posterior(model: LatentModel, b: Batch, x: Tensor) -> Distribution:
    """Returns q(z | x, c) of whole data x (C, B, *E), of batch shape (C * B,)."""
    count = len(x)
    c = None if b.c is None else b.c.repeat(count, 1)
    whole_batch = Batch(x.flatten(0, 1), c, None, b.index.repeat(count))
    return densities(model, whole_batch, CHAINS).q


class _Folded(Noise):
    """Noise for a batch of C * B that keeps each number with its chain and its row."""

    def __init__(self, noise: Noise, chains: int) -> None:
        self.noise, self.chains = noise, chains

    def _unfolded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.chains, shape[0] // self.chains, *shape[1:])

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the outer noise's numbers of shape (C, B, *) as (C * B, *)."""
        return self.noise.normal(self._unfolded(shape), like).reshape(shape)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the outer noise's numbers of shape (C, B, *) as (C * B, *)."""
        return self.noise.uniform(self._unfolded(shape), like).reshape(shape)


def _draws(model: LatentModel, k: int = 500) -> int:
    whole("k", k, least=1)
    return model.enumerates or 1 if model.exact else k * (model.enumerates or 1)


def _visits(model: LatentModel, chains: int = 10, sweeps: int = 60, correct: bool = True) -> int:
    whole("chains", chains, least=1)
    whole("sweeps", sweeps, least=1)
    return chains * (sweeps - sweeps // BURNT)


METHODS: Mapping[str, tuple[Callable[..., Unseen], Callable[..., int]]] = MappingProxyType(
    {"importance": (importance, _draws), "gibbs": (gibbs, _visits)}
)
