"""From calls to ratios, fractions of the floor and verdicts. Nothing but arithmetic.

A call holds `entry`, `section`, `round`, and of what it took: `seconds` for `count` data, the rate
`gemm` of a fixed matrix product beside it in GFLOP/s, and more. Ratios are larger where an entry
is better, and are taken within a round; their spread is that of the rounds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Ratio",
    "agreement",
    "cost",
    "curve_verdicts",
    "regressions",
    "summary",
    "table",
]

WORSE = 0.10  # a ratio that lost so much is a regression
Call = Mapping[str, Any]


class Ratio(NamedTuple):
    """The ratios of the rounds.

    Attributes:
        median: Their median.
        low: The least.
        high: The largest.
        spread: The distance of their quartiles, as a part of the median.
    """

    median: float
    low: float
    high: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Ratio:
        """Returns what the ratios of some rounds amount to."""
        median, spread = statistics.median(values), 0.0
        if len(values) > 1:
            quartiles = statistics.quantiles(values, n=4, method="inclusive")
            spread = (quartiles[2] - quartiles[0]) / median
        return cls(median, min(values), max(values), spread)


def cost(call: Call, best: float | None = None) -> float:
    """Returns the seconds a datum; with the machine's best rate, as if it had run at that."""
    seconds = call["seconds"] / call["count"]
    if best is None:
        return seconds
    return seconds * call["gemm"] / best


def _by_round(calls: Iterable[Call]) -> dict[tuple[str, str], dict[int, Call]]:
    found: dict[tuple[str, str], dict[int, Call]] = {}
    for c in calls:
        found.setdefault((c["section"], c["entry"]), {})[c["round"]] = c
    return found


def _ratio(
    base: Mapping[int, Call], own: Mapping[int, Call], best: float | None = None
) -> Ratio | None:
    rounds = sorted(set(base) & set(own))
    if not rounds or (best and not all(base[r].get("gemm") and own[r].get("gemm") for r in rounds)):
        return None
    return Ratio.of([cost(base[r], best) / cost(own[r], best) for r in rounds])


def summary(
    calls: Sequence[Call],
    baselines: Mapping[str, str],
    floors: Mapping[tuple[str, str], str],
    goals: Mapping[tuple[str, str], tuple[float, float]],
) -> list[dict[str, Any]]:
    """Returns a row for each entry that was measured, in the order of the calls.

    Arguments:
        calls: All calls.
        baselines: The entry of each section to which its ratios are.
        floors: The name of an entry's floor, by (section, entry).
        goals: The least ratio and the aim of an entry, likewise.
    """
    rounds = _by_round(calls)
    best = max((c["gemm"] for c in calls if c.get("gemm")), default=None)
    machine = _floor(rounds.get(("floor", "this machine"), {}))
    rows = []
    for (section, name), own in rounds.items():
        if section == "floor":
            continue
        base = rounds.get((section, baselines.get(section, "")), {})
        ratio, norm = _ratio(base, own), _ratio(base, own, best) if best else None
        normed = [cost(c, best) for c in own.values() if best and c.get("gemm")]
        row: dict[str, Any] = {
            "section": section,
            "entry": name,
            "rounds": len(own),
            "cost": statistics.median(cost(c) for c in own.values()),
            "norm_cost": statistics.median(normed) if normed else None,
            "ratio": ratio._asdict() if ratio else None,
            "norm": norm._asdict() if norm else None,
            "goal": list(goals[section, name]) if (section, name) in goals else None,
        }
        for key in ("faults", "first", "memory", "value", "stderr", "parameters"):
            values = [c[key] for c in own.values() if c.get(key) is not None]
            row[key] = statistics.median(values) if values else None
        for kind in ("practical", "ideal"):
            least = machine.get(kind, {}).get(floors.get((section, name), ""))
            row[kind] = least / row["norm_cost"] if least and row["norm_cost"] else None
        rows.append(row)
    return rows


def _floor(calls: Mapping[int, Call]) -> dict[str, dict[str, float]]:
    """Returns the least of the rounds for each floor: the best that the machine did."""
    kinds = ("practical", "ideal") if calls else ()
    return {
        kind: {
            key: min(c[kind][key] for c in calls.values() if key in c[kind])
            for key in {key for c in calls.values() for key in c[kind]}
        }
        for kind in kinds
    }


def regressions(
    new: Iterable[Mapping[str, Any]], old: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Returns the ratios that are worse than before, by more than a tenth and than both spreads.

    Scaled ratios are compared where there are both, else plain ones. An entry that is in one of
    the two only is not compared.
    """
    before = {(r["section"], r["entry"]): r for r in old}
    found = []
    for row in new:
        was = before.get((row["section"], row["entry"]))
        if was is None:
            continue
        kind = "norm" if row["norm"] and was["norm"] else "ratio"
        now, then = row[kind], was[kind]
        if not now or not then:
            continue
        loss = 1 - now["median"] / then["median"]
        noise = max(now["spread"], then["spread"])
        if loss > WORSE and loss > noise:
            found.append(
                {
                    "section": row["section"],
                    "entry": row["entry"],
                    "before": then["median"],
                    "after": now["median"],
                    "loss": loss,
                    "spread": noise,
                }
            )
    return found


def agreement(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns how far each estimate of the same likelihoods lies from the first one.

    All use k samples, so that their biases are the same, and their Monte Carlo errors too: that of
    a difference is the square root of 2 times that of one, divided among the rounds.
    """
    rows = [r for r in rows if r["section"] == "likelihood" and r["value"] is not None]
    errors = [r["stderr"] for r in rows if r["stderr"]]
    if len(rows) < 2 or not errors:
        return []
    first = rows[0]
    found = []
    for row in rows[1:]:
        error = statistics.median(errors) * math.sqrt(1 / row["rounds"] + 1 / first["rounds"])
        gap = row["value"] - first["value"]
        found.append(
            {"entry": row["entry"], "gap": gap, "error": error, "agrees": abs(gap) < 4 * error}
        )
    return found


def curve_verdicts(runs: Sequence[Mapping[str, Any]], base: str) -> list[dict[str, Any]]:
    """Returns, for each way of training, whether its validation ELBO moved beyond seed noise.

    Welch's test at each epoch, of the seeds' means; moved is what it finds at 0.05 divided by the
    number of epochs (Bonferroni: the epochs are one question).

    Arguments:
        runs: `entry`, `seed`, and `elbo` after each epoch, in nats.
        base: The entry with which the others are compared.
    """
    from scipy import stats

    by: dict[str, list[Sequence[float]]] = {}
    for run in runs:
        by.setdefault(run["entry"], []).append(run["elbo"])
    found: list[dict[str, Any]] = []
    if base not in by:
        return found
    for name, curves in by.items():
        if name == base or len(curves) < 2 or len(by[base]) < 2:
            continue
        epochs = min(len(c) for c in [*curves, *by[base]])
        gaps, errors, chances = [], [], []
        for e in range(epochs):
            ours, theirs = [c[e] for c in curves], [c[e] for c in by[base]]
            gaps.append(statistics.mean(ours) - statistics.mean(theirs))
            errors.append(
                math.sqrt(
                    statistics.variance(ours) / len(ours)
                    + statistics.variance(theirs) / len(theirs)
                )
            )
            chances.append(float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue))
        found.append(
            {
                "entry": name,
                "seeds": len(curves),
                "gap": gaps,
                "error": errors,
                "p": chances,
                "moved": min(chances) < 0.05 / epochs,
            }
        )
    return found


def _number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def _rate(row: Mapping[str, Any]) -> str:
    """What an entry does in a second, or takes: seconds to start, MiB."""
    if row["section"] == "memory":
        return f"{row['cost']:.0f} MiB"
    if row["section"].startswith("startup"):
        return f"{row['cost']:.2f} s"
    rate = 1 / row["cost"]
    return f"{rate / 1000:.1f}k/s" if rate >= 1000 else f"{rate:.1f}/s"


HEAD = ("entry", "rounds", "rate", "x", "low-high", "x norm.", "floor", "ideal", "faults", "first")
NUMERIC = len(HEAD)  # and then the goal


def cells(row: Mapping[str, Any]) -> list[str]:
    """Returns one line of the table, as `HEAD` and the goal."""
    ratio, norm, goal = row["ratio"], row["norm"], row["goal"]
    reached = ""
    if goal and (norm or ratio):
        value = (norm or ratio)["median"]
        word = "reached" if value >= goal[1] else "enough" if value >= goal[0] else "MISSED"
        reached = f"{goal[0]:g} ({goal[1]:g}): {word}"
    return [
        row["entry"],
        str(row["rounds"]),
        _rate(row),
        _number(ratio and ratio["median"]),
        f"{ratio['low']:.2f}-{ratio['high']:.2f}" if ratio else "",
        _number(norm and norm["median"]),
        _number(row["practical"], ".0%"),
        _number(row["ideal"], ".0%"),
        _number(row["faults"], ".0f"),
        _number(row["first"], ".1f"),
        reached,
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as text, a block for each section."""
    blocks = []
    head = [*HEAD, "goal (aim)"]
    for section in dict.fromkeys(r["section"] for r in rows):
        lines = [head, *(cells(r) for r in rows if r["section"] == section)]
        keep = [i for i in range(len(head)) if any(line[i] for line in lines[1:])]
        widths = {i: max(len(line[i]) for line in lines) for i in keep}
        text = [
            "  ".join(
                line[i].ljust(widths[i]) if i in (0, len(HEAD)) else line[i].rjust(widths[i])
                for i in keep
            ).rstrip()
            for line in lines
        ]
        blocks.append("\n".join([f"== {section}", *text]))
    return "\n\n".join(blocks)
