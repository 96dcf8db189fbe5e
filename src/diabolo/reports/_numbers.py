"""What was measured of a run, as tables with both errors, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..evaluate.quantity import digits
from ._blocks import Sentences, Table

if TYPE_CHECKING:
    from ..evaluate import Diagnosis, Quantity
    from ._blocks import Block

__all__ = [
    "HEADER",
    "likelihood",
    "quantities",
    "sample_quality",
    "sections",
    "tiles",
    "verdict",
]

HEADER = ("quantity", "value", "Monte Carlo error", "data error", "unit", "how it was found")
NUMBERS = frozenset({1, 2, 3})
FEW = 0.7  # the Pareto shape above which weights are heavy-tailed
NAMES = {
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO",
    "distortion": "distortion",
    "accuracy": "accuracy",
}


def likelihood(found: Mapping[str, Any], where: str) -> list[Block]:
    """Returns the numbers of an evaluation, as `Evaluation.to_json` has them.

    Arguments:
        found: The numbers.
        where: On which data.
    """
    rows = []
    for name, title in NAMES.items():
        if name in found:
            rows.append(_row(title, found[name], "" if name == "accuracy" else "nats"))
        if name == "log_likelihood" and "bits_per_dimension" in found:
            bits = _number(found["bits_per_dimension"])
            rows.append(
                ("bits per dimension", bits, "", "", "bits", "-log-likelihood, of each value")
            )
    rates = found.get("rate", [])
    for i, rate in enumerate(rates, 1):
        rows.append(_row(f"rate of group {i}" if len(rates) > 1 else "rate", rate, "nats"))
    units = found.get("active_units")
    if units is not None:
        how = f"move with x by more than {units['threshold']:g}"
        rows.append(("active units", f"{units['count']} of {units['of']}", "", "", "", how))
    ll = found.get("log_likelihood", {})
    if "ess_mean" in ll:
        how = f"of {ll['k']}, mean over data; the least is {ll['ess_min']:.1f}"
        rows.append(("effective samples", _number(ll["ess_mean"]), "", "", "", how))
    if "pareto_above_0.7" in ll:
        how = f"part of the data whose weights are heavy-tailed (k-hat above {FEW})"
        rows.append(("heavy tails", f"{ll['pareto_above_0.7']:.1%}", "", "", "", how))
    if "acceptance_mean" in ll:
        how = f"of the chains' moves; the least is {ll['acceptance_min']:.2f}"
        rows.append(("acceptance", _number(ll["acceptance_mean"]), "", "", "", how))
    n = found["n"]
    title = f"{where}: {n} data, means per datum, seed {found['seed']}"
    out: list[Block] = [Table(title, HEADER, rows, NUMBERS)]
    if found.get("notes"):
        out.append(Sentences(found["notes"]))
    return out


def sample_quality(found: Mapping[str, Any]) -> list[Block]:
    """Returns the numbers of `SampleQuality.to_json`."""
    rows = [
        (
            name.replace("_", " "),
            _number(e["value"]),
            digits(e["mc_stderr"]),
            digits(e["data_stderr"]),
            "",
            e["kind"],
        )
        for name, e in _values(found)
    ]
    title = (
        f"{found['n']} {found['samples']} of the model beside as many data, in {found['features']}"
    )
    out: list[Block] = [Table(title, HEADER, rows, NUMBERS)]
    return [*out, Sentences(found["notes"])] if found.get("notes") else out


def _values(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the name and the numbers of each comparison, however deep it lies."""
    for name, value in found.items():
        if not isinstance(value, Mapping):
            continue
        if {"value", "kind", "mc_stderr", "data_stderr"} <= set(value):
            yield name, value
        else:
            yield from ((f"{name} {below}", each) for below, each in _values(value))


def tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the few numbers that stand at the top: name, value and what is beside it."""
    out = [
        (NAMES[name], _number(found[name]["value"]), _error(found[name]["data_stderr"]))
        for name in ("log_likelihood", "elbo", "distortion")
        if name in found
    ]
    if "rate" in found:
        values = [r["value"] for r in found["rate"]]
        known = None if None in values else sum(values)
        # Groups are of the same data, so that their errors do not make that of the sum.
        error = found["rate"][0]["data_stderr"] if len(values) == 1 else None
        out.append(("rate", _number(known), _error(error)))
    if (units := found.get("active_units")) is not None:
        out.append(("active units", str(units["count"]), f"of {units['of']}"))
    return out


def _error(error: float | None) -> str:
    told = digits(error)
    return f"± {told} nats" if told else "nats"


def verdict(found: Diagnosis) -> list[Block]:
    """Returns what is found in plain words, the gravest first."""
    bad = frozenset(i for i, f in enumerate(found.verdict) if f.fault)
    return [Sentences([str(f) for f in found.verdict], bad)]


def sections(found: Diagnosis) -> list[Block]:
    """Returns the numbers behind a verdict, and what to be careful with."""
    out: list[Block] = []
    for section in found.sections:
        out += [quantities(section.title, section.rows)] if section.rows else []
        out += [Sentences(section.notes)] if section.notes else []
    return out


def quantities(title: str, rows: Sequence[Quantity]) -> Table:
    """Returns a table of quantities."""
    cells = [
        (q.name, _quantity(q), digits(q.mc_stderr), digits(q.data_stderr), q.unit, q.how)
        for q in rows
    ]
    return Table(title, HEADER, cells, NUMBERS)


def _row(name: str, e: Mapping[str, Any], unit: str) -> tuple[str, ...]:
    return (
        name,
        _number(e["value"]),
        digits(e["mc_stderr"]),
        digits(e["data_stderr"]),
        unit,
        e["kind"],
    )


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _quantity(q: Quantity) -> str:
    if q.unit == "" and float(q.value).is_integer():
        return str(int(q.value))
    return f"{q.value:.1g}" if q.unit == "" and 0 < abs(q.value) < 0.001 else _number(q.value)
