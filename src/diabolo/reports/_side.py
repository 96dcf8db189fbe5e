"""The lines of a comparison: numbers of each run, settings that differ, differences in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..evaluate import ActiveUnits, Bound, Estimate
from ..evaluate.quantity import digits
from ..run import Run
from ._facts import settings

__all__ = ["Measured", "differing", "noise", "numbers", "subject", "told"]


@dataclass(frozen=True, eq=False)
class Measured:
    """The numbers of one run.

    Arguments:
        name: What it is called here, unique among the runs.
        run: The run.
        parts: Its bound; None for a deterministic model, or without data.
        distortion: -log p(x|z); None without data.
        likelihood: The log-likelihood; None likewise.
        units: Its active latent elements; None without two data.
        facts: What is told without data, by its name.
    """

    name: str
    run: Run
    parts: Bound | None
    distortion: Estimate | None
    likelihood: Estimate | None
    units: ActiveUnits | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def subject(m: Measured) -> str:
    """Returns what a log-likelihood is of."""
    assert m.likelihood is not None
    words = m.likelihood.words
    return m.likelihood.kind if words is None else words.of


def numbers(found: Sequence[Measured]) -> tuple[tuple[str, ...], ...]:
    """Returns the numbers of each run, one a row."""
    rows: list[tuple[str, ...]] = []
    lines: tuple[tuple[str, Callable[[Measured], Estimate | None]], ...] = (
        ("log-likelihood", lambda m: m.likelihood),
        ("ELBO", lambda m: None if m.parts is None else m.parts.elbo),
        ("distortion", lambda m: m.distortion),
        ("rate", lambda m: None if m.parts is None else m.parts.total_rate),
    )
    for name, of in lines:
        cells = [_estimate(of(m)) for m in found]
        if any(cells):
            rows.append((f"{name} (nats)", *cells))
    if any(m.units is not None for m in found):
        told = ["" if m.units is None else f"{m.units.count} of {m.run.latent}" for m in found]
        rows.append(("active units", *told))
    rows += [(name, *(m.facts[name] for m in found)) for name in found[0].facts]
    return tuple(rows)


def _estimate(e: Estimate | None) -> str:
    return "" if e is None else f"{e.value:.2f} \u00b1 {digits(e.data_stderr) or '?'}"


def differing(found: Sequence[Measured]) -> tuple[tuple[str, ...], ...]:
    """Returns the settings that are not the same in all runs."""
    own = [{n: (v, d) for n, v, d in settings(m.run)} for m in found]
    names = dict.fromkeys(n for each in own for n in each)
    out = []
    for name in names:
        default = next(each[name][1] for each in own if name in each)
        values = tuple(each[name][0] if name in each else f"{default} (default)" for each in own)
        if len(set(values)) > 1:
            out.append((name, *values))
    return tuple(out)


def noise(apart: Estimate) -> float | None:
    """Returns the standard error of a difference, of both sources together, in nats.

    Of one datum alone it is not known, None.
    """
    if apart.data_stderr is None:
        return None
    return ((apart.mc_stderr or 0.0) ** 2 + apart.data_stderr**2) ** 0.5


def told(first: str, second: str, of: str, apart: Estimate, sure: bool) -> str:
    """Returns a difference in a sentence."""
    size, error = f"{abs(apart.value):.3f}", noise(apart)
    if error is None:
        return (
            f"{of}: {first} and {second} differ by {size} nats on one datum, which tells nothing "
            "of others."
        )
    size = f"{size} \u00b1 {digits(error)} nats"
    if not sure:
        return f"{of}: {first} and {second} differ by {size}, which is within noise."
    word = "higher" if apart.value > 0 else "lower"
    return f"{of}: {first} is {size} {word} than {second}."
