r"""Log-likelihood by importance sampling from the posterior, at any number of samples.

.. math::
    \log p(x) \ge \mathbb{E} \log \hat p_k, \qquad
    \hat p_k = \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

The bound rises with k and is tight in the limit. Its estimate for one datum has, to first order
(the delta method), the variance :math:`\mathrm{Var}(w) / (k \, \bar w^2)`, and half of that is
its bias. Where z is discrete and has few values, they are summed over instead, without error.

Shapes: K posterior samples, B batch, N data, C condition width.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), theorem 1
    | https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..data.decode import Dequantize
from ..errors import DiaboloError, whole
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed
from .estimate import Estimate
from .graph import Compile, Decoding, pays
from .pareto import TailWeights
from .passes import Precision, Progress, autocast, batches, decoder_rows, networks, quiet, subject

__all__ = ["log_likelihood"]

# Codes are drawn for so many decoder chunks at once: x is encoded once for all of them, so that
# encoding costs next to nothing, while a flow prior of all these codes still fits the cache.
CHUNKS_DRAWN = 10


def log_likelihood(
    model: LatentModel,
    data: Data,
    *,
    k: int = 1000,
    seed: int = 0,
    chunk: int | None = None,
    batch: int | None = None,
    precision: Precision = "float32",
    compile: Compile = "auto",
    marginal: Sequence[float] | Tensor | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Returns the importance-weighted lower bound on the log-likelihood of each datum.

    Of a model whose z is discrete with values few enough to go through, it is the log-likelihood
    itself, and `kind` says so.

    Every datum is one fixed x (one binarisation, one dequantisation) under all k samples. Samples
    are keyed by (seed, row, sample): order, `batch` and `chunk` change results by rounding only,
    and the samples of a larger k begin with those of a smaller one.

    Arguments:
        model: A model with a posterior density.
        data: The data.
        k: Posterior samples for each datum; they do not matter where all values are summed over.
        seed: Keys the samples.
        chunk: Samples x data decoded at once; None picks a number that fits the cache.
        batch: Data encoded at once; None picks a number.
        precision: The type in which networks compute; `float32` leaves that of the weights.
            Densities compute in float32 at least.
        compile: Whether the decoder is compiled; `auto` does so on a CPU for long work. It changes
            results by rounding only.
        marginal: For a model whose condition is one class: the frequency of each, (C,). Then the
            estimate is of log p(x) = log sum p(c) p(x|c), whatever conditions the data have.
        progress: Called with the part that is done, from 0 to 1.

    Returns:
        The estimate with the effective sample size and, from k = 100, the Pareto shape of the
        weights of each datum.

    Raises:
        DiaboloError: If the model is deterministic, or does not fit the data or the arguments.
    """
    if model.deterministic:
        raise DiaboloError(
            "A deterministic autoencoder has no likelihood of x: its codes have no density. "
            "Its distortion is a number (`distortion`), and a 'vae' has both."
        )
    k, seed = whole("k", k, least=1), whole("seed", seed)
    for name, value in (("chunk", chunk), ("batch", batch)):
        if value is not None:
            whole(name, value, least=1)
    if marginal is not None:
        return _marginal(model, data, k, seed, chunk, batch, precision, compile, marginal, progress)
    device = next(model.parameters()).device
    k, values = 1 if model.exact else k, model.enumerates or 1  # of values, one round tells all
    codes = k * values * len(data)
    compiled = compile == "on" or (compile == "auto" and pays(model, codes))
    decoding = Decoding(model, precision, compiled=compiled, needed=compile == "on")
    rows = chunk or decoder_rows(data, device, compiled=decoding.compiled)
    most = CHUNKS_DRAWN * rows // values
    drawn = max(1, min(k, most))
    size = batch or max(1, min(rows, most // drawn))
    drawn = max(1, min(k, most // size))
    found: list[Tensor] = []
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, size, progress):
            sums = _Weights(k)
            for log_weight in _log_weights(model, b, k, seed, drawn, rows // size, decoding):
                sums.add(log_weight)
            found.append(sums.summary().cpu())
    value, variance, ess, shape = ranks.gather(torch.cat(found, dim=1), len(data), dim=1)
    kind = f"lower bound on {subject(model, data)} (importance-weighted, k={k})"
    if model.exact:
        kind = f"{subject(model, data)}, exact (enumeration of {values} values of z)"
    return Estimate.of(
        value,
        torch.zeros_like(value) if model.exact else variance if k > 1 else None,
        k=k,
        seed=seed,
        kind=kind + networks(precision) + _dequantized(data),
        ess=None if model.exact else ess,
        pareto=None if model.exact else shape,
        notes=tuple(decoding.notes),
    )


def _log_weights(
    model: LatentModel, b: Batch, k: int, seed: int, drawn: int, decoded: int, decoding: Decoding
) -> Iterator[Tensor]:
    """Yields the k log-weights of a batch in parts (<= drawn, B), in nats, float64."""
    values = model.enumerates or 1
    decoded = ceil(drawn * values / ceil(drawn * values / max(1, decoded)))  # parts of one size
    for start in range(0, k, drawn):
        few = min(drawn, k - start)
        noise = KeyedNoise(seed, b.index, start=start * values)
        inferred, c = model.infer(b.x, b.c, k=few, mask=b.mask, noise=noise, every=True)
        ratio = inferred.draws[0].log_p - inferred.draws[0].log_q
        for d in inferred.draws[1:]:
            ratio = ratio + (d.log_p - d.log_q)
        codes = inferred.code.split(decoded)
        log_px = torch.cat([decoding.decode(code, c, b.x, b.mask) for code in codes])
        log_weight = log_px + ratio
        if inferred.log_share is not None:  # the weights of one round make one, of less variance
            share = inferred.log_share + math.log(few)
            log_weight = (log_weight + share).unflatten(0, (few, -1)).logsumexp(1)
        yield log_weight


class _Weights:
    """Sums of k weights and of their squares for each datum, as logarithms."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.tail = TailWeights(k)

    def add(self, log_weight: Tensor) -> None:
        """Takes log-weights (K, B)."""
        first, second = log_weight.logsumexp(0), (2 * log_weight).logsumexp(0)
        self.first = first if self.first is None else torch.logaddexp(self.first, first)
        self.second = second if self.second is None else torch.logaddexp(self.second, second)
        self.tail.add(log_weight)

    def summary(self) -> Tensor:
        """Returns log-mean weight, its variance, effective sample size, Pareto shape, (4, B)."""
        assert self.first is not None
        assert self.second is not None
        value = self.first - math.log(self.k)
        none = self.first.isneginf()  # every weight is 0: no sample explains x at all
        squares = torch.exp(self.second - 2 * self.first)  # sum w^2 / (sum w)^2, 1/k .. 1
        squares = torch.where(none, math.inf, squares)
        variance = (squares - 1 / self.k).clamp(min=0) * (self.k / max(self.k - 1, 1))
        shape = torch.where(none, math.nan, self.tail.shape())
        return torch.stack([value, variance, 1 / squares, shape])


def _marginal(
    model: LatentModel,
    data: Data,
    k: int,
    seed: int,
    chunk: int | None,
    batch: int | None,
    precision: Precision,
    compile: Compile,
    marginal: Sequence[float] | Tensor,
    progress: Progress | None,
) -> Estimate:
    """The log of p(x) as the sum over classes, each with samples of its own."""
    if not model.condition or model.classifies:
        why = "takes no condition" if not model.condition else "sums over its classes itself"
        raise DiaboloError(f"This model {why}: leave marginal out.")
    prior = torch.as_tensor(marginal, dtype=torch.float64)
    if prior.shape != (model.condition,) or bool((prior < 0).any()) or float(prior.sum()) <= 0:
        raise DiaboloError(
            f"marginal needs the frequencies of the {model.condition} classes of the condition, "
            f"none negative, but got {tuple(prior.tolist()) if prior.ndim == 1 else marginal}."
        )
    one = data.c is None or bool(
        ((data.c == 0) | (data.c == 1)).all() and (data.c.sum(1) == 1).all()
    )
    if model.condition < 2 or not one:
        raise DiaboloError(
            "marginal sums over the classes of a condition that is one label, but this one holds "
            "numbers or several labels."
        )
    prior = prior / prior.sum()
    parts = []
    classes = prior.nonzero().flatten().tolist()
    for done, j in enumerate(classes):
        given = replace(data, c=torch.eye(len(prior))[j].expand(len(data), -1))

        def step(part: float, done: int = done) -> None:
            if progress is not None:
                progress((done + part) / len(classes))

        parts.append(
            log_likelihood(
                model,
                given,
                k=k,
                seed=mix_seed(seed, j),
                chunk=chunk,
                batch=batch,
                precision=precision,
                compile=compile,
                progress=step,
            )
        )
    joint = torch.stack([p.per_datum for p in parts]) + prior[classes].log()[:, None]
    value = joint.logsumexp(0)
    weight = (joint - value).exp()  # (classes, N)
    variance = None
    if k > 1:
        errors = torch.stack([p.per_datum_stderr for p in parts if p.per_datum_stderr is not None])
        variance = (weight * errors).square().sum(0)
    kind = f"lower bound on {subject(model, data, marginal=True)} (importance-weighted, k={k} for "
    kind += f"each of {len(classes)} classes)"
    return Estimate.of(
        value,
        variance,
        k=k,
        seed=seed,
        kind=kind + networks(precision) + _dequantized(data),
        notes=parts[0].notes,
    )


def _dequantized(data: Data) -> str:
    """What to add where x is a level plus noise: another bound lies between it and the level."""
    dequantized = isinstance(data.decoder, Dequantize)
    return ", of dequantised x: a lower bound on log P(level)" if dequantized else ""
