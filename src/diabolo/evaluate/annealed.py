r"""Log-likelihood by annealed importance sampling, and between two bounds for simulated data.

Importance sampling needs a q that covers p(z | x). Chains that move from r(z), the prior or q, to
the posterior by Hamiltonian Monte Carlo at each of T temperatures need it far less:

.. math::
    \log p(x) \ge \mathbb{E} \log \frac1k \sum_{i=1}^k w_i, \qquad
    w = \prod_{t=1}^T \bigg(\frac{p(x, z_{t-1})}{r(z_{t-1})}\bigg)^{\beta_t - \beta_{t-1}}

A walk from an exact draw of p(z | x) back to r has a weight v whose mean is 1 / p(x), and
-log mean v is an upper bound in expectation. For data that the model itself made, the z* they were
made from is such a draw: then log p(x) lies between the two.

Shapes: K chains, B batch, N data, D latent elements, T temperatures.

References:
    | On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda, Salakhutdinov
    | & Grosse, 2017), section 4, https://arxiv.org/abs/1611.04273
    | Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani
    | & Adams, 2015), https://arxiv.org/abs/1511.02543
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..distributions import Distribution
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed
from .continuous import check_continuous, densities, draws, simulated
from .estimate import Estimate, Kind
from .graph import Decoding
from .hamiltonian import Path, schedule, tune, tunings, walk
from .passes import (
    Precision,
    Progress,
    Told,
    autocast,
    batches,
    counted,
    decoder_rows,
    dequantized,
    networks,
    quiet,
    subject,
)
from .weights import Weights

__all__ = ["Sandwich", "Start", "annealed", "bidirectional"]

Start = Literal["prior", "posterior"]
NAME = "Annealed importance sampling"
PILOTS = 4  # chains a datum that tune the steps
PILOT, BACK = 1, 2  # what a seed is mixed with: each stream has noise of its own


@dataclass(frozen=True, eq=False)
class Sandwich:
    """Two bounds between which log p(x) lies in expectation, for data that the model made.

    Arguments:
        lower: The walk to the posterior.
        upper: The walk back from the z that x was made from; the chains of a datum share that
            one draw, so that its `mc_stderr` is not known.
        gap: Upper minus lower. It is as much as the sum of both errors, and its `data_stderr` is
            its whole standard error, as simulated data are independent.
        data: What the model made.
    """

    lower: Estimate
    upper: Estimate
    gap: Estimate
    data: Data


class _Plan(NamedTuple):
    """How chains walk: the arguments of `annealed` that do so."""

    k: int
    temperatures: int
    start: Start
    leapfrog: int
    seed: int


class _Chains(NamedTuple):
    """Some of the chains of a batch, at their start.

    Attributes:
        first: How many chains of each datum came before.
        count: How many these are.
        path: From r to p(x, z).
        start: r.
        steps: The tuned steps, (T - 1) of (B, 1).
    """

    first: int
    count: int
    path: Path
    start: Distribution
    steps: list[Tensor]


def annealed(
    model: LatentModel,
    data: Data,
    *,
    k: int = 16,
    temperatures: int = 1000,
    start: Start = "prior",
    leapfrog: int = 10,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Estimate:
    """Returns the stochastic lower bound on log p(x) of annealed importance sampling.

    The mean of the k weights is an estimate of p(x) without bias, whatever q is worth. The steps
    of the moves are tuned for each datum and temperature by chains with other noise and then
    kept. Noise is keyed by (seed, row, chain): order and `batch` change results by rounding only,
    which turns a chain's decision once in a long while.

    It costs (k + 4) T L gradients of the decoder for each datum: with the defaults a few hundred
    data, not ten thousand, are what a processor can do.

    Arguments:
        model: A model whose latent is one continuous vector with a prior density.
        data: The data.
        k: Chains for each datum.
        temperatures: The number T of steps from r to p(x, z), at a sigmoid schedule; 1 is
            importance sampling from r.
        start: Whether r is the prior, which owes nothing to q, or the posterior q, which is
            nearer where q is good.
        leapfrog: Steps L of the integrator in each move.
        seed: Keys the noise.
        batch: Data whose chains walk at once; None picks a number.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1, a hundred times a batch.

    Returns:
        The estimate with the effective sample size and Pareto shape of the weights and the part
        of accepted moves, which is to be near 0.8.

    Raises:
        DiaboloError: If the model is deterministic, discrete or a hierarchy, or does not fit the
            data or the arguments.
    """
    plan = _checked(model, k, temperatures, start, leapfrog, seed)
    found = []
    size = _size(data, model, k, batch)
    told = Told(progress, counted(data, size), _moves(plan))
    with quiet(model), autocast(precision, next(model.parameters()).device):
        for b in batches(model, data, size):
            weights, accepted = Weights(k), torch.zeros(len(b.x), dtype=torch.float64)
            for chains in _chains(model, b, data, plan, precision, told):
                log_weight, part = _forward(chains, b, plan, told)
                weights.add(log_weight)
                accepted += part.sum(0).cpu() / k
            found.append(torch.cat([weights.summary().cpu(), accepted[None]]))
    return _lower(model, data, torch.cat(found, dim=1), plan, precision)


def bidirectional(
    model: LatentModel,
    n: int = 100,
    c: Tensor | None = None,
    *,
    k: int = 16,
    temperatures: int = 1000,
    start: Start = "prior",
    leapfrog: int = 10,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Sandwich:
    """Returns both bounds for n data drawn from the model, whose gap bounds the error of each.

    The gap tells what `annealed` with the same arguments is worth for this model: it is on average
    the sum of what the lower bound is too low and the upper too high.

    Arguments:
        model: A model whose latent is one continuous vector with a prior density.
        n: The number of data to draw.
        c: Their conditions (n, C), where the model has one.
        k: Chains for each datum, in each direction.
        temperatures: As in `annealed`, and so are those that follow.
        start: The other end of the walks.
        leapfrog: Steps of the integrator in each move.
        seed: Keys the noise, that of the data too.
        batch: Data whose chains walk at once; None picks a number.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: As in `annealed`, or if x is scored given a part of itself.
    """
    plan = _checked(model, k, temperatures, start, leapfrog, seed)
    whole("n", n, least=1)
    if taken := model.likelihood.family.given:
        raise DiaboloError(
            f"This likelihood scores x given its {taken}, but draws x without it: then the z that "
            "x was made from is no draw of p(z|x), and there is no upper bound. `annealed` gives "
            "the lower one."
        )
    betas = schedule(temperatures)
    lower: list[Tensor] = []
    upper: list[Tensor] = []
    with quiet(model), autocast(precision, next(model.parameters()).device):
        data, z = simulated(model, n, c, seed, NAME)
        size = _size(data, model, k, batch)
        told = Told(progress, counted(data, size), _moves(plan, ways=2))
        for b in batches(model, data, size):
            there, back = Weights(k), Weights(k)
            accepted = torch.zeros(len(b.x), dtype=torch.float64)
            for chains in _chains(model, b, data, plan, precision, told):
                log_weight, part = _forward(chains, b, plan, told)
                there.add(log_weight)
                accepted += part.sum(0).cpu() / k
                noise = KeyedNoise(mix_seed(seed, BACK), b.index, start=chains.first)
                truth = z[b.index].expand(chains.count, -1, -1)
                end, steps = chains.path.point(truth), chains.steps[::-1]
                tell = partial(told, chains.count)
                inverse, _ = walk(chains.path, end, betas[::-1], steps, noise, leapfrog, tell)
                back.add(inverse)
            lower.append(torch.cat([there.summary().cpu(), accepted[None]]))
            upper.append(-back.summary()[0].cpu())
    low = _lower(model, data, torch.cat(lower, dim=1), plan, precision)
    high = ranks.gather(torch.cat(upper), n)
    facts = {"k": k, "seed": seed}
    kind = _kind(model, data, plan, precision, "upper", "back to")
    return Sandwich(
        lower=low,
        upper=Estimate.of(high, None, kind=kind, **facts),
        gap=Estimate.of(
            high - low.per_datum,
            None,
            kind=f"gap of the stochastic bounds on {kind.of}, of simulated x",
            **facts,
        ),
        data=data,
    )


def _checked(
    model: LatentModel, k: int, temperatures: int, start: Start, leapfrog: int, seed: int
) -> _Plan:
    check_continuous(model, NAME)
    if start not in ("prior", "posterior"):
        raise unknown("start", str(start), ("prior", "posterior"))
    return _Plan(
        whole("k", k, least=1),
        whole("temperatures", temperatures, least=1),
        start,
        whole("leapfrog", leapfrog, least=1),
        whole("seed", seed),
    )


def _size(data: Data, model: LatentModel, k: int, batch: int | None) -> int:
    """How many data walk at once, so that their chains fit the cache together."""
    if batch is not None:
        return whole("batch", batch, least=1)
    return max(1, decoder_rows(data, next(model.parameters()).device) // k)


def _moves(plan: _Plan, ways: int = 1) -> int:
    """How many moves the chains of a datum make, each of them in so many walks."""
    return PILOTS * sum(tunings(plan.temperatures)) + ways * plan.k * plan.temperatures


def _chains(
    model: LatentModel, b: Batch, data: Data, plan: _Plan, precision: Precision, told: Told
) -> Iterator[_Chains]:
    """Yields the k chains of a batch in parts that fit the cache, once the steps are tuned."""
    q, p, c = densities(model, b, NAME)
    decoding = Decoding(model, precision, compiled=False, needed=False)
    start = p if plan.start == "prior" else q

    def ratio(z: Tensor) -> Tensor:
        log_px = decoding(z, c, b.x, b.mask)
        return log_px if start is p else log_px + (p.log_prob(z) - start.log_prob(z))

    path = Path(start.log_prob, ratio)
    pilot = KeyedNoise(mix_seed(plan.seed, PILOT), b.index)
    point = path.point(draws(start, PILOTS, len(b.x), pilot))
    betas, tell = schedule(plan.temperatures), partial(told, PILOTS)
    steps = tune(path, point, betas, pilot, plan.leapfrog, tell)
    most = max(1, decoder_rows(data, b.x.device) // len(b.x))
    for first in range(0, plan.k, most):
        yield _Chains(first, min(most, plan.k - first), path, start, steps)


def _forward(chains: _Chains, b: Batch, plan: _Plan, told: Told) -> tuple[Tensor, Tensor]:
    """Returns log-weights and acceptance of the walk to p(x, z), each (K, B)."""
    noise = KeyedNoise(plan.seed, b.index, start=chains.first)
    point = chains.path.point(draws(chains.start, chains.count, len(b.x), noise))
    betas = schedule(plan.temperatures)
    tell = partial(told, chains.count)
    return walk(chains.path, point, betas, chains.steps, noise, plan.leapfrog, tell)


def _lower(
    model: LatentModel, data: Data, summary: Tensor, plan: _Plan, precision: Precision
) -> Estimate:
    """The estimate that the sums (5, N) of all batches make up."""
    value, variance, ess, shape, accepted = ranks.gather(summary, len(data), dim=1)
    return Estimate.of(
        value,
        variance if plan.k > 1 else None,
        k=plan.k,
        seed=plan.seed,
        kind=_kind(model, data, plan, precision, "lower", "from"),
        ess=ess,
        pareto=shape,
        acceptance=accepted if plan.temperatures > 1 else None,
    )


def _kind(
    model: LatentModel, data: Data, plan: _Plan, precision: Precision, side: str, way: str
) -> Kind:
    """What walks of either way are: the bound on one side, by chains from r or back to it."""
    return Kind(
        subject(model, data),
        f"stochastic {side} bound on {{}}",
        f"annealed importance sampling, {plan.k} chains of {plan.temperatures} temperatures "
        f"{way} the {plan.start}",
        networks(precision) + dequantized(data),
    )
