"""The verb `synthesize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import DiaboloError
from ._options import Flag, Json
from ._output import destination, write
from ._runs import open_run
from ._talk import print_json, print_table, say

if TYPE_CHECKING:
    from ..tasks import SynthesisReport

__all__ = ["synthesize"]


def synthesize(
    run: Path,
    /,
    *,
    out: Path,
    n: Annotated[int | None, Parameter(name=("-n", "--n"))] = None,
    report: Annotated[bool, Flag] = False,
    target: str | None = None,
    test: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Writes a synthetic table, and says how like real rows it is and what it gives away.

    Args:
        run: The folder of a run that was fitted to a table.
        out: The file; its extension gives the format: .csv, .parquet, .arrow.
        n: How many rows; as many as were trained on if left out.
        report: Compare such rows with real ones that were held out, beside a Gaussian copula and
            independent columns.
        target: With --report, a column to foretell: what is learned of synthetic rows is asked of
            real ones.
        test: With --report, a file of real rows that were not trained on; the run's own test or
            validation data if left out.
        seed: Keys the draws.
        json: Print one JSON object.
    """
    from ..tasks import synthesis_report
    from ..tasks import synthesize as draw

    destination(out, picture=False)
    if out.suffix.lower() in (".npz", ".npy"):
        raise DiaboloError(f"A table is written as .csv, .parquet or .arrow, but got '{out}'.")
    for name, given in (("--target", target), ("--test", test)):
        if given is not None and not report:
            raise DiaboloError(f"{name} is for the report: add --report.")
    opened = open_run(run)
    found = draw(opened, n, seed=seed)
    told = synthesis_report(opened, test, target=target, seed=seed) if report else None
    names = opened.schema.columns or None
    if found.labels is None:
        write(out, {"x": found.data}, names=names)
    else:
        write(out, {"x": found.data}, names=names, rows={opened.schema.label: found.labels})
    if json:
        facts: dict[str, Any] = {"out": str(out), "n": len(found.data), "seed": seed}
        print_json(facts if told is None else {**facts, "report": told.to_json()})
        return
    say(f"{len(found.data)} synthetic rows are in {out}")
    if told is not None:
        print_report(told)


def print_report(told: SynthesisReport) -> None:
    """Prints a column for the rows of each sampler, and below what the numbers are."""
    lines = {
        "columns": "mean distance of a column: of distribution functions, or of shares",
        "worst": "the column that is farthest from real ones",
        "pairs": "mean difference of the dependence of two columns",
        "two-sample": "part of real and synthetic rows that boosted trees tell apart",
        "utility": f"score of boosted trees on real '{told.target}', learned of these rows",
        "gain": "that, less the score of trees learned of real rows",
        "distance": "mean distance to the nearest training row, divided by that of real rows",
        "copies": "rows as near to a training row as one in a hundred real ones, of those expected",
        "membership": "how often a training row is nearer to these rows than another real row",
    }
    cells = {name: [name] for name in lines}
    for j in told.judged:
        worst, far = told.worst(j.name)
        two = j.two_sample.accuracy
        cells["columns"].append(f"{j.marginal:.3f}")
        cells["worst"].append(f"{worst}: {far:.3f}")
        cells["pairs"].append(f"{j.dependence:.3f}")
        cells["two-sample"].append(f"{two.value:.3f} ± {two.stderr:.3f}")
        cells["utility"].append("" if j.utility is None else f"{j.utility:.3f}")
        cells["gain"].append("" if j.gain is None else f"{j.gain:+.3f} ± {j.gain_stderr:.3f}")
        near, member = j.nearest, j.membership
        cells["distance"].append(
            f"{near.ratio.value:.2f} ± {near.ratio.stderr:.2f}" if near is not None else ""
        )
        cells["copies"].append("" if near is None else f"{near.copies} of {near.expected:.1f}")
        cells["membership"].append(
            "" if member is None else f"{member.auc:.3f} ± {member.stderr:.3f}"
        )
    if told.target is None:
        del cells["utility"], cells["gain"]
    title = f"{told.m} synthetic rows beside {told.n} real ones that were held out"
    print_table(title, ("rows of", *(j.name for j in told.judged)), map(tuple, cells.values()))
    for name in cells:
        say(f"  {name:<10}  {lines[name]}")
    for sentence in told.notes:
        say(f"  {sentence}")
