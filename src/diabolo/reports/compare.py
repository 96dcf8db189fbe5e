"""Runs side by side: what differs between them, and whether that is more than noise.

Shapes: R runs, n rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data import Data, Splits
from ..errors import DiaboloError, whole
from ..evaluate import Estimate, active_units, bound, difference, distortion, log_likelihood
from ..evaluate.passes import samples_for
from ..panels import PANELS
from ..panels._beside import beside
from ..panels._run import measured
from ..run import Run, asked
from ._blocks import Block, Drawn, Note, Part, Sentences, Table
from ._facts import parameters
from ._page import page
from ._side import Measured, differing, noise, numbers, subject, told
from ._svg import drawn
from .report import FLATTERED, WHERE, target_of, write_page

__all__ = ["Compared", "compare"]

SURE = 2.0  # standard errors that a difference exceeds where it is told to be one
Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Compared:
    """Runs side by side.

    Arguments:
        names: What the runs are called, R of them.
        table: Names of numbers, and the number of each run as text.
        settings: Names of settings that differ, and the value of each run.
        differences: Pairs of runs, what is compared, the difference of the first from the second
            datum by datum, and whether it is more than noise.
        notes: Sentences on what cannot be compared.
        html: The whole page.
        path: The file that it was written to, or None.
    """

    names: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, ...], ...]
    differences: tuple[tuple[str, str, str, Estimate, bool], ...]
    notes: tuple[str, ...]
    html: str = field(repr=False)
    path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns all but the page as numbers, strings, lists and dictionaries."""
        return {
            "runs": list(self.names),
            "table": {name: list(values) for name, *values in self.table},
            "settings": {name: list(values) for name, *values in self.settings},
            "differences": [
                {"first": a, "second": b, "of": of, "beyond_noise": sure, **e.to_json()}
                for a, b, of, e, sure in self.differences
            ],
            "notes": list(self.notes),
        }


def compare(
    *runs: Run,
    data: Any = None,
    labels: Any = None,
    condition: Any = None,
    k: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Compared:
    """Returns runs side by side: their numbers, differences beyond noise, settings and pictures.

    Where all runs were fitted to the same data, or data are given, all are measured on the same
    rows with the same k, and differences are those of each datum: what makes a datum hard is
    common to all, so that they are known far better than the numbers themselves.

    Arguments:
        runs: Two or more.
        data: Data (n, *S) as those that were fitted, a path, or `Data`; None takes the test or
            else the validation data, if they are the same for all.
        labels: Labels of `data`, where a model is conditional on labels.
        condition: Conditions of `data`, where these are not labels.
        k: Samples a datum of the log-likelihood; None takes 1000, or fewer for large data.
        out: The HTML file to write; None writes none.
        seed: Keys all samples.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If there are fewer than two runs, one comes twice, data do not fit a run, or
            the file cannot be written.
    """
    seed = whole("seed", seed)
    k = None if k is None else whole("k", k, least=1)
    target = None if out is None else target_of(Path(out))
    asked.refuse_alone(data, labels, condition)
    names = _names(runs)
    tell = progress or (lambda part: None)
    notes: list[str] = []
    split, chosen = _data(runs, names, data, labels, condition, notes)
    found = []
    for i, (name, run) in enumerate(zip(names, runs, strict=True)):
        own = None if chosen is None else chosen[i]
        found.append(_measured(name, run, own, k, seed))
        tell(0.8 * (i + 1) / len(runs))
    apart = [] if chosen is None else _differences(found, notes)
    table, other = numbers(found), differing(found)
    here = [_beside(run, None if chosen is None else chosen[i]) for i, run in enumerate(runs)]
    parts = _parts(found, here, table, other, apart, notes)
    rows = 0 if chosen is None else len(chosen[0])
    told = (
        f"All are measured on the same {rows} rows: {WHERE[split]}."
        f"{FLATTERED if split == 'valid' else ''}"
        if rows
        else "Their data differ."
    )
    html = page(f"{len(runs)} runs side by side", f"{', '.join(names)}. {told}", parts)
    tell(1.0)
    if target is not None:
        write_page(target, html)
    return Compared(names, table, other, tuple(apart), tuple(notes), html, target)


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Returns what each run is called: by its folder, or its recipe where it has none.

    Raises:
        DiaboloError: If there are fewer than two runs, or one comes twice.
    """
    if len(runs) < 2:
        raise DiaboloError("A comparison needs two runs at least: name another one.")
    for a, b in itertools.combinations(runs, 2):
        if a is b or (a.folder is not None and a.folder == b.folder):
            name = a.folder or a.config.name
            raise DiaboloError(f"The run {name} comes twice: compare it with another one.")
    names = [r.config.name if r.folder is None else r.folder.name for r in runs]
    if len(set(names)) < len(names):
        names = [
            n if r.folder is None else f"{r.folder.parent.name}/{n}"
            for n, r in zip(names, runs, strict=True)
        ]
    if len(set(names)) < len(names):
        names = [f"{n} ({i})" for i, n in enumerate(names, 1)]
    return tuple(names)


def _data(
    runs: Sequence[Run],
    names: Sequence[str],
    data: Any,
    labels: Any,
    condition: Any,
    notes: list[str],
) -> tuple[str, list[Data] | None]:
    """Returns which data all runs are measured on, read by the schema of each; None if none are.

    Raises:
        DiaboloError: If data that are given do not fit a run.
    """
    if data is not None:
        read = []
        for run in runs:
            given = (labels, condition) if run.spec.condition else (None, None)
            read.append(asked.as_data(run, data, *given))
        return "given", read
    split = "test" if all("test" in r.prints for r in runs) else "valid"
    prints = [r.prints.get(split, {}).get("sha256") for r in runs]
    events = {r.spec.event for r in runs}
    if len(set(prints)) > 1 or None in prints:
        alike = _alike(runs, split, events)
        if alike is None:
            other = next(i for i, p in enumerate(prints) if p != prints[0] or p is None)
            notes.append(
                f"The {WHERE[split]} of {names[0]} and {names[other]} are not the same (their "
                "fingerprints differ), so that their log-likelihoods are numbers of different "
                "data, and are not compared: give data of your own."
            )
            return split, None
        return split, alike
    try:
        return split, [asked.held_out(run, split)[1] for run in runs]
    except DiaboloError as reason:
        notes.append(f"The {WHERE[split]} cannot be read: {reason}")
        return split, None


def _alike(runs: Sequence[Run], split: str, events: set[tuple[int, ...]]) -> list[Data] | None:
    """Returns data whose values are the same though other parts, such as conditions, differ."""
    if len(events) > 1:
        return None
    try:
        found = [asked.held_out(run, split)[1] for run in runs]
    except DiaboloError:
        return None
    bare = {replace(d, c=None).digest() for d in found}
    same = len(bare) == 1 and len({(d.support, d.levels, str(d.decoder)) for d in found}) == 1
    return found if same else None


def _measured(name: str, run: Run, data: Data | None, k: int | None, seed: int) -> Measured:
    rows, best = run.history.rows, run.history.best
    facts = {
        "recipe": run.config.name,
        "latent": str(run.latent),
        "parameters": f"{parameters(run.model):,}",
        "epochs": str(len(rows)),
        "seconds": f"{rows[-1].seconds:.1f}" if rows else "",
        "best epoch": "" if best is None else str(best.epoch),
    }
    if data is None:
        return Measured(name, run, None, None, None, None, facts)
    own = measured(run, data)
    units = active_units(run.model, own) if len(own) > 1 else None
    if run.model.deterministic:
        lost = distortion(run.model, own, seed=seed)
        return Measured(name, run, None, lost, None, units, facts)
    parts = bound(run.model, own, seed=seed)
    many = samples_for(len(data)) if k is None else k
    ll = log_likelihood(run.model, own, k=None if run.model.exact else many, seed=seed)
    return Measured(name, run, parts, parts.distortion, ll, units, facts)


def _differences(
    found: Sequence[Measured], notes: list[str]
) -> list[tuple[str, str, str, Estimate, bool]]:
    """Returns what each later run has more than the first, of bounds and likelihoods."""
    out = []
    first = next((m for m in found if m.likelihood is not None), None)
    point = [m.name for m in found if m.parts is None]
    if point:
        told = "is deterministic" if len(point) == 1 else "are deterministic"
        notes.append(
            f"{' and '.join(point)} {told}: without a density of codes there is no bound and no "
            "log-likelihood to compare, and the distortion alone rewards a code without limit."
        )
    if first is None or first.parts is None or first.likelihood is None:
        return out
    given = {m.name: subject(m) for m in found if m.likelihood is not None}
    if len(set(given.values())) > 1:
        notes.append(
            "Some log-likelihoods are of x and others of x given a condition, which tells of x: "
            + "; ".join(f"{n}: {w}" for n, w in given.items())
            + "."
        )
    for other in found:
        if other is first or other.parts is None or other.likelihood is None:
            continue
        for of, a, b in (
            ("log-likelihood", other.likelihood, first.likelihood),
            ("ELBO", other.parts.elbo, first.parts.elbo),
        ):
            apart = difference(a, b)
            error = noise(apart)
            sure = error is not None and abs(apart.value) > SURE * error
            out.append((other.name, first.name, of, apart, sure))
    return out


def _beside(run: Run, data: Data | None) -> Run:
    """Returns the run with the data in memory that panels are to show."""
    if data is None:
        return run
    return replace(run, splits=Splits(None, None, data))  # type: ignore[arg-type]


def _parts(
    found: Sequence[Measured],
    here: Sequence[Run],
    table: tuple[tuple[str, ...], ...],
    other: tuple[tuple[str, ...], ...],
    apart: Sequence[tuple[str, str, str, Estimate, bool]],
    notes: Sequence[str],
) -> list[Part]:
    names = [m.name for m in found]
    right = frozenset(range(1, len(names) + 1))
    blocks: list[Block] = [
        Table("Means per datum, with the error of the data", ("", *names), table, right)
    ]
    if notes:
        blocks.append(Sentences(notes))
    parts = [Part("numbers", "How good is each?", blocks)]
    if apart:
        sentences = [told(*each) for each in apart]
        intro = (
            "Differences are those of each datum, so that what makes a datum hard for both does "
            f"not count. More than {SURE:g} standard errors are called more than noise."
        )
        parts.append(Part("differences", "Is one better?", [Sentences(sentences)], intro))
    title = "Settings that differ"
    block = (
        Table(title, ("", *names), other, right) if other else Note("All settings are the same.")
    )
    parts.append(Part("settings", "What is done differently?", [block]))
    measures = [(m.parts, m.distortion) for m in found]
    parts.append(Part("curves", "How did they learn?", _drawn(beside(names, here, measures))))
    samples: list[Block] = []
    for i, (name, run) in enumerate(zip(names, here, strict=True)):
        try:
            drawing = drawn(PANELS.load("samples")(run), f"samples-{i}")
            samples.append(Drawn(replace(drawing, title=f"{name}: {drawing.title}")))
        except DiaboloError as reason:
            samples.append(Note(f"{name}: {reason}", lacking=True))
    parts.append(Part("samples", "What do they make up?", samples))
    return parts


def _drawn(figures: Mapping[str, Any]) -> list[Block]:
    return [Drawn(drawn(figure, name)) for name, figure in figures.items()]
