"""Everything that is to be known of a model on data, as numbers with errors.

Shapes: N data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from ..data import Data
from ..data.decode import Dequantize
from ..errors import DiaboloError
from ..model import LatentModel
from .accuracy import accuracy
from .bounds import Bound, bound, distortion
from .continuous import is_continuous
from .diagnosis import Diagnosis, diagnosed
from .estimate import Estimate, finite
from .graph import Compile
from .likelihood import log_likelihood, method_for
from .passes import Precision, Progress, check_data, draw_digest
from .quantity import Quantity, nats
from .units import ActiveUnits, active_units

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one model is worth on one set of data.

    Arguments:
        n: The number of data.
        k: Samples of the likelihood.
        seed: The seed of all samples.
        distortion: -log p(x|z); None for a conditional model without conditions.
        units: The active latent elements; None for a single datum.
        bound: The evidence lower bound with its rates; None for a deterministic model.
        likelihood: The likelihood, or a bound on it; None for a deterministic model.
        bits: Numbers x of one datum to divide by for bits per dimension; None where x has no
            levels, so that bits mean nothing.
        notes: Sentences on what is missing and what to be careful with.
        x: The sha256 of x where it is a draw, so that the numbers name their data; else None.
        accuracy: The part of the labelled data whose class is found; None where none is looked
            for.
        diagnosis: How the latent is used, where it was asked for.
    """

    n: int
    k: int
    seed: int
    distortion: Estimate | None
    units: ActiveUnits | None
    bound: Bound | None
    likelihood: Estimate | None
    bits: float | None
    notes: tuple[str, ...] = ()
    x: str | None = None
    accuracy: Estimate | None = None
    diagnosis: Diagnosis | None = None

    @property
    def bits_per_dimension(self) -> float | None:
        """-log p(x) in bits for each number of x; an upper bound; None without levels."""
        if self.likelihood is None or self.bits is None:
            return None
        return -self.likelihood.value / (self.bits * math.log(2))

    def rows(self) -> list[Quantity]:
        """Returns the table, the most telling numbers first."""
        out = []
        if self.likelihood is not None:
            ll = self.likelihood
            out.append(nats("log-likelihood", ll))
            if self.bits is not None:
                out.append(_bits(ll, self.bits))
        if self.bound is not None:
            out.append(nats("ELBO", self.bound.elbo))
        if self.distortion is not None:
            out.append(nats("distortion", self.distortion))
        if self.bound is not None:
            several = len(self.bound.rate) > 1
            for g, rate in enumerate(self.bound.rate, 1):
                out.append(nats(f"rate of group {g}" if several else "rate", rate))
        if self.accuracy is not None:
            found = self.accuracy
            how = f"{found.kind}, of {found.n} labelled data"
            out.append(Quantity("accuracy", found.value, "", None, found.data_stderr, how))
        if self.units is not None:
            u = self.units
            out.append(Quantity("active units", u.count, "", None, None, u.how))
        if self.likelihood is not None and self.likelihood.ess is not None:
            ess = self.likelihood.ess
            how = f"mean over data, of {self.k} samples; the least is {float(ess.min()):.1f}"
            out.append(Quantity("effective samples", float(ess.mean()), "", None, None, how))
        if self.likelihood is not None and self.likelihood.acceptance is not None:
            part = self.likelihood.acceptance
            how = f"of the chains' moves, mean over data; the least is {float(part.min()):.2f}"
            out.append(Quantity("acceptance", float(part.mean()), "", None, None, how))
        return out

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        out: dict[str, Any] = {
            "n": self.n,
            "k": self.k,
            "seed": self.seed,
        }
        if self.x is not None:
            out["x_sha256"] = self.x
        if self.distortion is not None:
            out["distortion"] = self.distortion.to_json()
        if self.likelihood is not None:
            out["log_likelihood"] = self.likelihood.to_json()
        if self.bits_per_dimension is not None:
            out["bits_per_dimension"] = finite(self.bits_per_dimension)
        if self.bound is not None:
            out["elbo"] = self.bound.elbo.to_json()
            out["rate"] = [r.to_json() for r in self.bound.rate]
            out["rate_elements"] = [_list(e) for e in self.bound.rate_elements]
        if self.accuracy is not None:
            out["accuracy"] = self.accuracy.to_json()
        if self.units is not None:
            out["active_units"] = self.units.to_json()
        if self.diagnosis is not None:
            out["diagnosis"] = self.diagnosis.to_json()
        out["notes"] = list(self.notes)
        return out


def evaluate(
    model: LatentModel,
    data: Data,
    *,
    method: str | None = None,
    k: int | None = None,
    seed: int = 0,
    samples: int = 8,
    precision: Precision = "float32",
    compile: Compile = "auto",
    marginal: Sequence[float] | Tensor | None = None,
    full: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Returns bound, rate, distortion, likelihood and active units of a model on data.

    Arguments:
        model: The model; of a deterministic one only what exists is measured, and a note says so.
        data: The data.
        method: How the likelihood is found: `importance`, `prior`, `annealed` or `exact`, with
            options; see `log_likelihood`. None takes `importance`.
        k: Samples, or chains, of the likelihood for each datum; None takes 1000, or 16 chains.
        seed: Keys all samples.
        samples: Posterior samples of the bound for each datum.
        precision: The type in which networks compute.
        compile: Whether the decoder of the likelihood is compiled; `auto` does so for long work.
        marginal: Class frequencies, (C,), for log p(x) of a conditional model.
        full: Whether to add the diagnosis, see `diagnose`.
        progress: Called with the part of the likelihood that is done, from 0 to 1, and then with
            that of the diagnosis.

    Raises:
        DiaboloError: If the data do not fit the model, or method or k has no effect on it.
    """
    check_data(model, data)
    by = method_for(model, method, k)
    x = draw_digest(data)
    notes = []
    if x is not None:
        values = "bits, one a byte" if data.support == "binary" else "values, in float32"
        notes.append(
            f"x is one fixed draw, keyed by its row and data.seed={data.seed}: the sha256 of its "
            f"{values}, is {x}."
        )
    given = data.c is not None or not model.condition or model.unknown is not None
    units = active_units(model, data, precision=precision) if given and len(data) > 1 else None
    if full and units is None:
        lacking = (
            f"two data at least, which it compares, but got {len(data)}: give more rows"
            if given
            else "the condition of the data: give their labels or condition"
        )
        raise DiaboloError(f"A diagnosis needs {lacking}, or leave full out.")

    def examined(parts: Bound | None) -> Diagnosis | None:
        if not full or units is None:
            return None
        facts: dict[str, Any] = {"seed": seed, "samples": samples, "precision": precision}
        return diagnosed(model, data, parts, units, progress=progress, **facts)

    if by is None:
        found = distortion(model, data, seed=seed, precision=precision)
        note = (
            "A deterministic autoencoder has no likelihood of x and no bound on it: its codes "
            "have no density."
        )
        told = (*notes, note)
        none = {"bound": None, "likelihood": None, "bits": None}
        return Evaluation(
            len(data), 0, seed, found, units, **none, notes=told, x=x, diagnosis=examined(None)
        )
    taken = model.likelihood.family.given
    if taken:
        notes.append(
            f"The likelihood is of x given its {taken}, which is taken from x itself: it is no "
            f"log p(x), and not to be compared with one."
        )
    parts = None
    if given or marginal is None:
        parts = bound(model, data, seed=seed, samples=samples, precision=precision)
    else:
        notes.append("The data have no condition, without which there is no bound.")
    ll = log_likelihood(
        model,
        data,
        method=by,
        k=k,
        seed=seed,
        precision=precision,
        compile=compile,
        marginal=marginal,
        progress=progress,
    )
    notes += ll.notes
    dequantized = isinstance(data.decoder, Dequantize)
    bits = _numbers(data) if data.support == "byte" or dequantized else None
    if dequantized:
        notes.append(
            "x is a level plus uniform noise: the density bounds the probability of the level "
            "from below, so bits per dimension are an upper bound."
        )
    if ll.pareto is not None:
        heavy = float((ll.pareto > 0.7).double().mean())
        if heavy > 0:
            notes.append(
                f"The importance weights of {heavy:.1%} of the data are heavy-tailed (Pareto shape "
                "above 0.7): the log-likelihood is too low there and its Monte Carlo error too "
                f"small. {_remedy(model, by)}"
            )
    return Evaluation(
        n=len(data),
        k=ll.k,
        seed=seed,
        distortion=None if parts is None else parts.distortion,
        units=units,
        bound=parts,
        likelihood=ll,
        bits=bits,
        notes=tuple(notes),
        x=x,
        accuracy=accuracy(model, data, precision=precision),
        diagnosis=examined(parts),
    )


def _remedy(model: LatentModel, method: str) -> str:
    """What to do about weights of heavy tails."""
    if method == "importance" and is_continuous(model):
        return (
            "A q of its own for each datum may help, "
            "run.evaluate(method='importance(refine=300, form=full)'), and so does a larger k."
        )
    return "A larger k helps."


def _numbers(data: Data) -> float:
    """The mean count of seen numbers in a datum."""
    if data.mask is None:
        return prod(data.event)
    seen = sum(int(block.sum()) for block in data.masks())
    return seen / len(data)


def _bits(ll: Estimate, numbers: float) -> Quantity:
    """An upper bound, where the log-likelihood is a lower one."""
    per = 1 / (numbers * math.log(2))
    mc = None if ll.mc_stderr is None else ll.mc_stderr * per
    data = None if ll.data_stderr is None else ll.data_stderr * per
    how = f"-log-likelihood / ({numbers:g} ln 2)"
    how += ", an upper bound" if "lower bound" in ll.kind else ""
    return Quantity("bits per dimension", -ll.value * per, "bits", mc, data, how)


def _list(elements: Tensor | None) -> list[float | None] | None:
    return None if elements is None else [finite(e) for e in elements.tolist()]
