r"""Log-likelihood by importance sampling from the posterior or the prior.

.. math::
    \log p(x) \ge \mathbb{E} \log \hat p_k, \qquad
    \hat p_k = \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

The bound rises with k and is tight in the limit. Its estimate for one datum has, to first order
(the delta method), the variance :math:`\mathrm{Var}(w) / (k \, \bar w^2)`, and half of that is
its bias. Where z is discrete and has few values, they are summed over instead, without error.

Samples of the prior in place of the posterior's make the same bound with the weights p(x | z), of
which nearly all are nearly 0 in more than a few dimensions: the effective sample size tells.

Shapes: K posterior samples, B batch, N data, C condition width.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), theorem 1
    | https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

import math
from functools import partial
from math import ceil
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel
from ..noise import MEAN, KeyedNoise
from .ascent import FORMS, SAMPLES, STEP, Ascent, Form, ascend, check_form
from .continuous import check_continuous, has_density
from .estimate import Estimate, Kind
from .graph import Compile, Decoding, pays
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

__all__ = ["Proposal", "importance"]

Proposal = Literal["posterior", "prior"]

# Codes are drawn for so many decoder chunks at once: x is encoded once for all of them, so that
# encoding costs next to nothing, while a flow prior of all these codes still fits the cache.
CHUNKS_DRAWN = 10


def importance(
    model: LatentModel,
    data: Data,
    *,
    k: int = 1000,
    proposal: Proposal = "posterior",
    refine: int = 0,
    form: Form = "own",
    seed: int = 0,
    chunk: int | None = None,
    batch: int | None = None,
    precision: Precision = "float32",
    compile: Compile = "auto",
    progress: Progress | None = None,
) -> Estimate:
    """Returns the importance-weighted lower bound on the log-likelihood of each datum.

    From the posterior of a model whose z is discrete with values few enough to go through, it is
    the log-likelihood itself, and `kind` says so.

    Every datum is one fixed x (one binarisation, one dequantisation) under all k samples. Samples
    are keyed by (seed, row, sample): order, `batch` and `chunk` change results by rounding only,
    and the samples of a larger k begin with those of a smaller one.

    Arguments:
        model: A model with a posterior density.
        data: The data.
        k: Samples for each datum; they do not matter where all values are summed over.
        proposal: Whether z is drawn from the posterior or, naively, from the prior.
        refine: Steps by which q is refined for each datum before z is drawn from it, as by the
            function of that name; 0 takes q as the encoder gives it.
        form: The form of the refined q, as there: `full` needs far fewer samples.
        seed: Keys the samples.
        chunk: Samples x data decoded at once; None picks a number that fits the cache.
        batch: Data encoded at once; None picks a number.
        precision: The type in which networks compute; `float32` leaves that of the weights.
            Densities compute in float32 at least.
        compile: Whether the decoder is compiled; `auto` does so on a CPU for long work. It changes
            results by rounding only.
        progress: Called with the part that is done, from 0 to 1.

    Returns:
        The estimate with the effective sample size and, from k = 100, the Pareto shape of the
        weights of each datum.

    Raises:
        DiaboloError: If the model is deterministic, or does not fit the data or the arguments.
    """
    has_density(model)
    k, seed = whole("k", k, least=1), whole("seed", seed)
    check_form(form)
    if form != "own" and not refine:
        raise DiaboloError("form has an effect with refine above 0 only.")
    if whole("refine", refine, least=0):
        if proposal == "prior":
            raise DiaboloError("refine has no effect on samples of the prior: leave it out.")
        check_continuous(model, "Refinement", instead="leave refine out")
    for name, value in (("chunk", chunk), ("batch", batch)):
        if value is not None:
            whole(name, value, least=1)
    if compile not in get_args(Compile):
        raise unknown("value of compile", str(compile), get_args(Compile))
    device = next(model.parameters()).device
    naive = proposal == "prior"
    propose, values = (_prior, 1) if naive else (_posterior, model.enumerates or 1)
    exact = model.exact and not naive
    k = 1 if exact else k  # of values, one round tells all
    codes = k * values * len(data)
    compiled = compile == "on" or (compile == "auto" and pays(model, codes))
    decoding = Decoding(model, precision, compiled=compiled, needed=compile == "on")
    rows = chunk or decoder_rows(data, device, compiled=decoding.compiled)
    most = CHUNKS_DRAWN * rows // values
    drawn = max(1, min(k, most))
    size = batch or max(1, rows // SAMPLES if refine else min(rows, most // drawn))
    drawn = max(1, min(k, most // size))
    found: list[Tensor] = []
    told = Told(progress, counted(data, size), STEP * refine + k)
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, size):
            if refine:
                climb = ascend(
                    model,
                    b,
                    decoding,
                    form=form,
                    steps=refine,
                    seed=seed,
                    what="Refinement",
                    tell=told,
                )
                propose = partial(_refined, climb)
            sums = Weights(k)
            for start in range(0, k, drawn):
                few = min(drawn, k - start)
                z = propose(model, b, few, start, seed)
                sums.add(_log_weights(z, b, rows // size, decoding))
                told(few)
            found.append(sums.summary().cpu())
    value, variance, ess, shape = ranks.gather(torch.cat(found, dim=1), len(data), dim=1)
    how = "samples of the prior" if naive else "importance-weighted"
    if refine:
        how += f" from a q for each datum, {FORMS[form]}, {refine} steps"
    claim, how = "lower bound on {}", f"{how}, k={k}"
    if exact:
        claim, how = "{}, exact", f"enumeration of {values} values of z"
    return Estimate.of(
        value,
        torch.zeros_like(value) if exact else variance if k > 1 else None,
        k=k,
        seed=seed,
        kind=Kind(subject(model, data), claim, how, networks(precision) + dequantized(data)),
        ess=None if exact else ess,
        pareto=None if exact else shape,
        notes=tuple(decoding.notes),
    )


class _Proposed(NamedTuple):
    """Draws of z for a batch.

    Attributes:
        code: What the likelihood reads, (K, B, *).
        c: The condition as it reads it, (B, C), or None.
        ratio: log p(z | c) less the log-density that z was drawn from, (K, B); None where it is 0.
        log_share: As in `Trace`, with `rounds` over all values.
        rounds: See `log_share`.
    """

    code: Tensor
    c: Tensor | None
    ratio: Tensor | None = None
    log_share: Tensor | None = None
    rounds: int = 1


def _posterior(model: LatentModel, b: Batch, few: int, start: int, seed: int) -> _Proposed:
    """Draws of q(z | x, c), after `start` others."""
    noise = KeyedNoise(seed, b.index, start=start * (model.enumerates or 1))
    inferred, c = model.infer(b.x, b.c, k=few, mask=b.mask, noise=noise, every=True)
    ratio = inferred.draws[0].log_p - inferred.draws[0].log_q
    for d in inferred.draws[1:]:
        ratio = ratio + (d.log_p - d.log_q)
    return _Proposed(inferred.code, c, ratio, inferred.log_share, few)


def _refined(
    climb: Ascent, model: LatentModel, b: Batch, few: int, start: int, seed: int
) -> _Proposed:
    """Draws of a q of each datum's own, after `start` others."""
    z, log_q = climb.q.rsample_and_log_prob((few,), KeyedNoise(seed, b.index, start=start))
    return _Proposed(z, climb.joint.c, climb.joint.p.log_prob(z) - log_q)


def _prior(model: LatentModel, b: Batch, few: int, start: int, seed: int) -> _Proposed:
    """Draws of p(z | c), after `start` others; x has no part in them."""
    c = b.c
    if model.unknown is not None:
        c = model.unknown(c, len(b.x), b.x, MEAN)
    codes = [
        model.latent.sample(len(b.x), c, KeyedNoise(seed, b.index, start=i, lead=1))
        for i in range(start, start + few)
    ]
    return _Proposed(torch.stack(codes), None if model.classifies else c)


def _log_weights(z: _Proposed, b: Batch, decoded: int, decoding: Decoding) -> Tensor:
    """Returns the log-weights (K, B) of draws, in nats, float64."""
    parts = ceil(len(z.code) / max(1, decoded))
    codes = z.code.split(ceil(len(z.code) / parts))  # parts of one size
    log_weight = torch.cat([decoding.decode(code, z.c, b.x, b.mask) for code in codes])
    if z.ratio is not None:
        log_weight = log_weight + z.ratio
    if z.log_share is not None:  # the weights of one round make one, of less variance
        share = z.log_share + math.log(z.rounds)
        log_weight = (log_weight + share).unflatten(0, (z.rounds, -1)).logsumexp(1)
    return log_weight
