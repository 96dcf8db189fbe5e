"""The front door of likelihoods: one question, and a method that answers it.

Shapes: N data, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..data import Data
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel
from ..noise import mix_seed
from ..registry import keywords, parse_call, typed
from .annealed import annealed
from .estimate import Estimate
from .exact import exact
from .graph import Compile
from .importance import importance
from .passes import Precision, Progress, check_data, subject

__all__ = ["log_likelihood", "method_for"]

METHODS: Mapping[str, Callable[..., Estimate]] = MappingProxyType(
    {
        "importance": importance,
        "prior": partial(importance, proposal="prior"),
        "annealed": annealed,
        "exact": exact,
    }
)
NOTABLE = 0.01  # of the greatest part in p(x) that a class has: one of less hardly moves the sum
# What is given beside the method, with the value that asks for nothing.
BESIDE: Mapping[str, Any] = MappingProxyType(
    {
        "k": None,
        "seed": None,
        "chunk": None,
        "batch": None,
        "precision": "float32",
        "compile": "auto",
        "progress": None,
    }
)


def log_likelihood(
    model: LatentModel,
    data: Data,
    *,
    method: str = "importance",
    k: int | None = None,
    seed: int = 0,
    chunk: int | None = None,
    batch: int | None = None,
    precision: Precision = "float32",
    compile: Compile = "auto",
    marginal: Sequence[float] | Tensor | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Returns the log-likelihood of each datum, or the bound on it that a method gives.

    `importance` draws z from the posterior: cheap, and good where the posterior is, or where it is
    refined for each datum, `importance(refine=300, form=full)`. `prior` draws it from the prior,
    which shows why one does not. `annealed` moves chains from the prior to the posterior, which is
    dear and owes nothing to q; `annealed(start=posterior, temperatures=500)` has options. `exact`
    has no error, for few models. What it was, `kind` says.

    Every datum is one fixed x (one binarisation, one dequantisation) under all samples. Noise is
    keyed by (seed, row, sample): order, `batch` and `chunk` change results by rounding only, and
    the samples of a larger k begin with those of a smaller one.

    Arguments:
        model: A model with a posterior density.
        data: The data.
        method: One of these words, with options of its own in brackets.
        k: Samples, or chains, for each datum; None takes 1000, or 16 chains.
        seed: Keys the samples.
        chunk: Samples x data decoded at once; None picks a number that fits the cache.
        batch: Data gone through at once; None picks a number.
        precision: The type in which networks compute; `float32` leaves that of the weights.
            Densities compute in float32 at least.
        compile: Whether the decoder is compiled; `auto` does so on a CPU for long work that has no
            gradients. It changes results by rounding only.
        marginal: For a model whose condition is one class: the frequency of each, (C,). Then the
            estimate is of log p(x) = log sum p(c) p(x|c), whatever conditions the data have.
        progress: Called with the part that is done, from 0 to 1.

    Returns:
        The estimate; where z is drawn, with the effective sample size and, from k = 100, the
        Pareto shape of the weights of each datum; with `marginal`, those of the worst of
        the classes that have a notable part in p(x).

    Raises:
        DiaboloError: If the model is deterministic, does not fit the data or the method, or an
            argument has no effect on the method.
    """
    given = {"k": k, "chunk": chunk, "batch": batch, "precision": precision, "compile": compile}
    estimate = _estimator(method, given)
    check_data(model, data)
    if marginal is not None:
        return _marginal(estimate, model, data, seed, marginal, progress)
    return estimate(model, data, seed, progress)


def method_for(model: LatentModel, method: str | None, k: int | None) -> str | None:
    """Returns the method that measures a model, `importance` if none is given.

    Arguments:
        model: The model.
        method: What the user gave, or None.
        k: What the user gave, or None.

    Returns:
        The method; None for a deterministic model, which has no likelihood.

    Raises:
        DiaboloError: If there is no such method, or what is given has no effect on this model.
    """
    if k is not None:
        whole("k", k, least=1)
    given = [name for name, value in (("method", method), ("k", k)) if value is not None]
    if model.deterministic:
        if given:
            raise DiaboloError(
                f"{given[0]} has no effect on a deterministic autoencoder, which has no "
                "likelihood to estimate: leave it out."
            )
        return None
    chosen = "importance" if method is None else method
    _estimator(chosen, {"k": k})
    if model.exact and given and parse_call(chosen)[0] == "importance":
        raise DiaboloError(
            f"{given[0]} has no effect on this model, since all values of its z are summed over "
            "without sampling: leave method and k out, or ask for the method 'exact'."
        )
    return chosen


_Estimator = Callable[[LatentModel, Data, int, Progress | None], Estimate]


def _estimator(method: str, given: Mapping[str, Any]) -> _Estimator:
    """Returns what estimates by a method, given arguments that are not the default ones."""
    if not isinstance(method, str):
        raise DiaboloError(f"method is a word such as 'importance', but got {method!r}.")
    word, options = parse_call(method)
    if word not in METHODS:
        raise unknown("method", word, METHODS)
    function = METHODS[word]
    own = [n for n in keywords(function) if n not in BESIDE and n != "proposal"]
    for name in options:
        if name in BESIDE or name == "proposal":
            raise DiaboloError(f"'{name}' is no option of method '{word}': give it by itself.")
        if name not in own:
            raise unknown(f"option of method '{word}'", name, own)
    options = typed(f"method '{word}'", function, options)
    for name, value in given.items():
        if value == BESIDE[name]:
            continue
        if name not in keywords(function):
            raise DiaboloError(f"{name} has no effect on the method '{word}': leave it out.")
        options[name] = value
    seeded = "seed" in keywords(function)

    def estimate(model: LatentModel, data: Data, seed: int, progress: Progress | None) -> Estimate:
        keyed = {"seed": seed} if seeded else {}
        return function(model, data, **options, **keyed, progress=progress)

    return estimate


def _marginal(
    estimate: _Estimator,
    model: LatentModel,
    data: Data,
    seed: int,
    marginal: Sequence[float] | Tensor,
    progress: Progress | None,
) -> Estimate:
    """The log of p(x) as the sum over classes, each with samples of its own."""
    if not model.condition or model.classifies:
        why = "takes no condition" if not model.condition else "sums over its classes itself"
        raise DiaboloError(f"This model {why}: leave marginal out.")
    prior = torch.as_tensor(marginal, dtype=torch.float64)
    sound = bool(prior.isfinite().all() and (prior >= 0).all())
    if prior.shape != (model.condition,) or not sound or float(prior.sum()) <= 0:
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

        parts.append(estimate(model, given, mix_seed(seed, j), step))
    joint = torch.stack([p.per_datum for p in parts]) + prior[classes].log()[:, None]
    value = joint.logsumexp(0)
    weight = (joint - value).exp()  # (classes, N)
    errors = [p.per_datum_stderr for p in parts if p.per_datum_stderr is not None]
    variance = (weight * torch.stack(errors)).square().sum(0) if errors else None
    said = parts[0].words
    assert said is not None
    # Where no class explains x at all, weights are NaN, and every class matters.
    matters = ~(weight < NOTABLE * weight.amax(0))
    heavy = _least([None if p.pareto is None else -p.pareto for p in parts], matters)
    return Estimate.of(
        value,
        variance,
        ess=_least([p.ess for p in parts], matters),
        pareto=None if heavy is None else -heavy,
        acceptance=_least([p.acceptance for p in parts], matters),
        k=parts[0].k,
        seed=seed,
        kind=replace(
            said,
            of=subject(model, replace(data, c=None)),
            how=f"{said.how} for each of {len(classes)} classes",
        ),
        notes=parts[0].notes,
    )


def _least(told: Sequence[Tensor | None], matters: Tensor) -> Tensor | None:
    """Returns the least, over the classes that matter (C, N), of what each class tells, (N,)."""
    known = [t for t in told if t is not None]
    return torch.stack(known).where(matters, math.inf).amin(0) if known else None
