"""A number with both of its errors, and where it comes from.

`mc_stderr` is the error of the estimator: how far the number moves with another seed.
`data_stderr` is the error of the test set: how far it moves with other data of the same source.
Two models are compared on the same data by paired differences, which `mc_stderr` alone blurs.

Shapes: N data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..errors import DiaboloError

__all__ = ["Estimate", "Kind", "Moments", "difference"]


@dataclass(frozen=True)
class Kind:
    """What a likelihood is, in parts: `lower bound on log p(x|c) (importance-weighted, k=5)`.

    Arguments:
        of: What it is of, as `log p(x|c)`.
        claim: What it is to that, with braces for it, as `lower bound on {}`.
        how: What the method says of itself.
        remarks: What is added at the end.
    """

    of: str
    claim: str
    how: str
    remarks: str = ""

    def __str__(self) -> str:
        return f"{self.claim.format(self.of)} ({self.how}){self.remarks}"


@dataclass(frozen=True, eq=False)
class Estimate:
    """The mean of a quantity over data, in nats per datum unless its name says otherwise.

    Arguments:
        value: The mean over the data.
        mc_stderr: The standard error of the estimator at this k; None where a single sample a
            datum does not tell it, 0 where nothing is sampled.
        data_stderr: The standard error of the test set, std / sqrt(N); None for one datum.
        k: Samples, or chains, for each datum.
        n: The number N of data.
        seed: The seed of the samples.
        kind: What the number is, in words.
        per_datum: The quantity for each datum, (N,), float64.
        per_datum_stderr: The error of the estimator for each datum, (N,), or None.
        ess: The effective sample size of the importance weights of each datum, (N,), or None.
        pareto: The Pareto shape of the importance weights of each datum, (N,), or None: above
            0.7 the estimate and its `mc_stderr` are not to be trusted.
        acceptance: The part of the moves of each datum's chains that was accepted, (N,), or None.
        notes: Sentences on how it was computed.
        words: The parts of `kind`, where it has any.
    """

    value: float
    mc_stderr: float | None
    data_stderr: float | None
    k: int
    n: int
    seed: int
    kind: str
    per_datum: Tensor = field(repr=False)
    per_datum_stderr: Tensor | None = field(default=None, repr=False)
    ess: Tensor | None = field(default=None, repr=False)
    pareto: Tensor | None = field(default=None, repr=False)
    acceptance: Tensor | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    words: Kind | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        per_datum: Tensor,
        variance: Tensor | None,
        *,
        k: int,
        seed: int,
        kind: str | Kind,
        ess: Tensor | None = None,
        pareto: Tensor | None = None,
        acceptance: Tensor | None = None,
        notes: tuple[str, ...] = (),
    ) -> Estimate:
        """Returns the estimate that values for each datum make up.

        Arguments:
            per_datum: The values, (N,).
            variance: The variance of the estimator of each, (N,), independent between data.
            k: Samples for each datum.
            seed: The seed of the samples.
            kind: What the number is.
            ess: Effective sample sizes, (N,).
            pareto: Pareto shapes, (N,).
            acceptance: Parts of moves that were accepted, (N,).
            notes: Sentences on how it was computed.

        Raises:
            DiaboloError: If a value is not a number.
        """
        bad = per_datum.isnan()
        if bool(bad.any()):
            raise DiaboloError(
                f"The {kind} is not a number for {int(bad.sum())} of {len(bad)} data, the first "
                f"at position {int(bad.nonzero()[0])}: look at the data there and at the weights "
                "of the model."
            )
        n = len(per_datum)
        return cls(
            value=float(per_datum.mean()),
            mc_stderr=None if variance is None else math.sqrt(float(variance.sum())) / n,
            data_stderr=None if n < 2 else float(per_datum.std()) / math.sqrt(n),
            k=k,
            n=n,
            seed=seed,
            kind=str(kind),
            per_datum=per_datum,
            per_datum_stderr=None if variance is None else variance.sqrt(),
            ess=ess,
            pareto=pareto,
            acceptance=acceptance,
            notes=notes,
            words=kind if isinstance(kind, Kind) else None,
        )

    def __str__(self) -> str:
        errors = []
        if self.mc_stderr is not None:
            errors.append(f"Monte Carlo {self.mc_stderr:.3f}")
        if self.data_stderr is not None:
            errors.append(f"data {self.data_stderr:.3f}")
        told = f" (standard errors: {', '.join(errors)})" if errors else ""
        return f"{self.value:.3f}{told}"

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers without those of each datum; a number that is not finite is None."""
        out: dict[str, Any] = {
            "value": finite(self.value),
            "mc_stderr": finite(self.mc_stderr),
            "data_stderr": finite(self.data_stderr),
            "k": self.k,
            "n": self.n,
            "seed": self.seed,
            "kind": self.kind,
        }
        if self.ess is not None:
            out["ess_mean"], out["ess_min"] = float(self.ess.mean()), float(self.ess.min())
        if self.pareto is not None and not bool(self.pareto.isnan().all()):
            out["pareto_above_0.7"] = float((self.pareto > 0.7).double().mean())
        if self.acceptance is not None:
            out["acceptance_mean"] = float(self.acceptance.mean())
            out["acceptance_min"] = float(self.acceptance.min())
        return out


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Returns a - b on the same data, datum by datum: how two models are to be compared.

    What makes a datum hard is common to both, so `data_stderr` is mostly far below that of either.
    The Monte Carlo errors are taken as independent.

    Raises:
        DiaboloError: If the numbers of data differ.
    """
    if a.n != b.n:
        raise DiaboloError(
            f"Estimates are compared datum by datum on the same data, but got {a.n} and {b.n} data."
        )
    variance = None
    if a.per_datum_stderr is not None and b.per_datum_stderr is not None:
        variance = a.per_datum_stderr**2 + b.per_datum_stderr**2
    kind = f"{a.kind} minus {b.kind}"
    return Estimate.of(a.per_datum - b.per_datum, variance, k=min(a.k, b.k), seed=a.seed, kind=kind)


def p_value(p: float) -> str:
    """Returns a p-value as people write it, and none that is 0."""
    return "p < 1e-6" if p < 1e-6 else f"p = {p:.2g}"


def finite(value: float | None) -> float | None:
    """Returns the value, or None where JSON has no word for it."""
    return value if value is not None and math.isfinite(value) else None


class Moments:
    """Collects a sampled quantity, (K, B) a batch, as its mean and the variance of that mean."""

    def __init__(self) -> None:
        self.mean: list[Tensor] = []
        self.variance: list[Tensor] = []

    def add(self, values: Tensor, *, exact: bool = False) -> None:
        """Takes values (K, B); those that are exact have no variance."""
        values = values.double().cpu()
        self.mean.append(values.mean(0))
        if exact:
            self.variance.append(torch.zeros_like(self.mean[-1]))
        elif len(values) > 1:
            self.variance.append(values.var(0) / len(values))

    def estimate(self, *, n: int, k: int, seed: int, kind: str) -> Estimate:
        """Returns the estimate over all batches of n data."""
        variance = ranks.gather(torch.cat(self.variance), n) if self.variance else None
        mean = ranks.gather(torch.cat(self.mean), n)
        return Estimate.of(mean, variance, k=k, seed=seed, kind=kind)
