"""One page on a run: what was trained on what, how good it is, and everything there is to see.

Shapes: none of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..checkpoint import atomic
from ..data import Data, Splits
from ..errors import DiaboloError, whole
from ..evaluate import Diagnosis, diagnose
from ..evaluate.passes import samples_for, some
from ..panels import PANELS
from ..panels._figure import OtherData
from ..panels._rows import Rows
from ..panels._run import GIVEN, measured, source_of
from ..run import asked
from ._blocks import Block, Code, Drawn, Note, Part
from ._facts import described
from ._map import interactive, told
from ._numbers import likelihood, sample_quality, sections, tiles, verdict
from ._page import MAP, page
from ._svg import drawn

if TYPE_CHECKING:
    from ..evaluate import Evaluation
    from ..run import Run

__all__ = ["FLATTERED", "WHERE", "Report", "report", "target_of", "write_page"]

SHOWN = 5000  # data that figures show at most
HOVERED = 2000  # points of a map that tell something
LOOKED = 1000  # data that the diagnosis looks at
WHERE = {"test": "test data", "valid": "validation data", "given": "the data given"}
FLATTERED = " They chose the weights, so the numbers flatter a little: data kept apart do not."
Progress = Callable[[float], None]


class Chapter(NamedTuple):
    """A part of the page that panels fill."""

    id: str
    title: str
    panels: tuple[str, ...]
    intro: str = ""


CHAPTERS = (
    Chapter("learning", "How did it learn?", ("learning_curve",)),
    Chapter("rates", "What is the latent spent on?", ("rates",)),
    Chapter(
        "reconstructions",
        "What does it keep of a datum?",
        ("extremes", "reconstructions", "column_errors"),
    ),
    Chapter(
        "samples",
        "What does it make up?",
        ("samples", "neighbours", "marginals", "dependence"),
    ),
    Chapter("map", "Where do data lie?", ("latent_map",)),
    Chapter("walks", "What does each latent element do?", ("traversals", "manifold")),
    Chapter("between", "What lies between data?", ("interpolations",)),
    Chapter("prior", "Do samples come from where codes are?", ("aggregate",)),
    Chapter("strange", "Which data are strange?", ("strangest",)),
    Chapter("calibration", "Do probabilities mean what they say?", ("calibration",)),
)


@dataclass(frozen=True)
class Report:
    """A page on a run.

    Arguments:
        html: The whole page.
        figures: The panels that it shows.
        left_out: Why others are not shown, though one would expect them, by their names.
        path: The file that it was written to, or None.
    """

    html: str = field(repr=False)
    figures: tuple[str, ...]
    left_out: dict[str, str]
    path: Path | None = None


def report(
    run: Run,
    data: Any = None,
    *,
    out: str | Path | None = None,
    labels: Any = None,
    condition: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Returns one self-contained HTML page on a run, and writes it to a file.

    Numbers that were stored with the run are shown as they are; what is lacking is measured, and
    nothing is changed in the run.

    Arguments:
        run: A fitted model.
        data: Data (n, *S) as those that were fitted, a path, or `Data`; None takes the test or
            else the validation data.
        out: The file to write; None writes none.
        labels: Labels of `data`, where the model is conditional on labels.
        condition: Conditions of `data`, where these are not labels.
        seed: Keys all samples.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If there are no data to be had, they are not like those fitted, the file
            cannot be written, or matplotlib or Jinja2 is not installed.
    """
    seed = whole("seed", seed)
    asked.refuse_alone(data, labels, condition)
    target = None if out is None else target_of(Path(out))
    split, chosen = asked.held_out(run) if data is None else ("given", data)
    chosen = asked.as_data(run, chosen, labels, condition)
    tell = progress or (lambda part: None)
    here = _with(run, split, chosen)
    numbers = _evaluation(here, split, chosen, seed)
    tell(0.1)
    found, why = _diagnosis(here, chosen, seed, lambda part: tell(0.1 + 0.4 * part))
    known = {"diagnosis": found, "of": Rows(here, measured(here, _first(chosen)))}
    parts = [Part("what", "What was trained on what?", described(run))]
    words: list[Block] = [Note(why, lacking=True)] if found is None else verdict(found)
    parts.append(Part("verdict", "What is to be said of it?", words))
    shown: list[str] = []
    left_out: dict[str, str] = {}
    for i, chapter in enumerate(CHAPTERS):
        blocks, names, missing = _chapter(here, chapter, known)
        shown += names
        left_out |= missing
        if blocks:
            parts.append(Part(chapter.id, chapter.title, blocks, chapter.intro))
        tell(0.5 + 0.5 * (i + 1) / len(CHAPTERS))
    at = 3 if any(p.id == "learning" for p in parts) else 2
    parts.insert(at, Part("likelihood", "How likely are data?", likelihood(numbers, WHERE[split])))
    if (quality := run.metrics.get("samples")) is not None:
        parts.append(Part("quality", "How good are its samples?", sample_quality(quality)))
    if found is not None:
        parts.append(Part("numbers", "Which numbers are behind the verdict?", sections(found)))
    parts.append(Part("again", "How to get this again", _again(run)))
    name = run.folder.name if run.folder is not None else run.config.name
    n = "one datum" if len(chosen) == 1 else f"{len(chosen)} data"
    html = page(
        f"{name}: a report",
        f"{run.config.name}, fitted to {source_of(run)}. Unless something else is said, "
        f"figures and numbers are of {n}: {WHERE[split]}.{FLATTERED if split == 'valid' else ''}",
        parts,
        tiles=tiles(numbers),
        foot="Written by diabolo. All numbers are in nats per datum unless a unit is named; larger "
        "log-likelihoods and bounds are better.",
    )
    if target is not None:
        write_page(target, html)
    return Report(html, tuple(shown), left_out, target)


def _first(data: Data) -> Data:
    """Returns the data, or the first of many."""
    return data if len(data) <= SHOWN else data.take(torch.arange(SHOWN))


def target_of(path: Path) -> Path:
    """Returns the file to be written.

    Raises:
        DiaboloError: If it cannot be a page.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise DiaboloError(f"A report is an HTML file: name one, report.html, not '{path}'.")
    if path.is_dir():
        raise DiaboloError(f"Cannot write '{path}': it is a folder.")
    return path


def write_page(path: Path, html: str) -> None:
    """Writes a page, whole or not at all.

    Raises:
        DiaboloError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            part.write_text(html, "utf-8")
    except OSError as error:
        raise DiaboloError(f"Cannot write '{path}': {error.strerror or error}.") from None


def _with(run: Run, split: str, data: Data) -> Run:
    """Returns the run with its data in memory, so that each panel finds them without reading."""
    train, valid = (_split(run, name) for name in ("train", "valid"))
    if split == "valid":
        valid, test = data, None
    else:
        test = data
    splits = Splits(train, valid, test)  # type: ignore[arg-type]
    prints = dict(run.prints)
    if split == "given":
        prints["test"] = {"count": len(data), "sha256": "", "source": GIVEN}
    return replace(run, splits=splits, metrics=dict(run.metrics), prints=prints)


def _split(run: Run, name: str) -> Data | None:
    """Returns a split, or None where it cannot be had: a report can be made without."""
    try:
        return run.data(name)
    except DiaboloError:
        return None


def _evaluation(run: Run, split: str, data: Data, seed: int) -> dict[str, Any]:
    """Returns the numbers of the run on these data, those that are stored where there are any."""
    stored = run.metrics.get("evaluation")
    if stored is not None and stored["split"] == split != "given":
        return stored
    k = None
    if not (run.model.deterministic or run.model.exact):
        k = samples_for(len(data))
    found: Evaluation = run.evaluate(data, k=k, seed=seed)
    return found.to_json()


def _diagnosis(run: Run, data: Data, seed: int, tell: Progress) -> tuple[Diagnosis | None, str]:
    """Returns a diagnosis, or why there is none."""
    try:
        return diagnose(run.model, some(data, LOOKED, seed), seed=seed, progress=tell), ""
    except DiaboloError as error:
        return None, str(error)


def _chapter(
    run: Run, chapter: Chapter, known: dict[str, Any]
) -> tuple[list[Block], list[str], dict[str, str]]:
    """Returns what the panels of a chapter show, their names, and why others do not."""
    blocks: list[Block] = []
    names: list[str] = []
    left_out: dict[str, str] = {}
    for name in chapter.panels:
        panel = PANELS.load(name)
        takes = inspect.signature(panel).parameters
        try:
            figure = panel(run, **{k: v for k, v in known.items() if k in takes})
        except OtherData:
            continue
        except DiaboloError as reason:
            left_out[name] = str(reason)
            blocks.append(Note(str(reason), lacking=True))
            continue
        names.append(name)
        if name != "latent_map":
            blocks.append(Drawn(drawn(figure, name)))
        elif MAP.is_file():
            blocks.append(Drawn(drawn(figure, name), interactive(known["of"])))
        else:
            blocks.append(Drawn(drawn(figure, name, told(known["of"], HOVERED))))
    return blocks, names, left_out


def _again(run: Run) -> list[Block]:
    """Returns the words that open this run and go on with it."""
    lines = (
        "diabolo evaluate RUN --full",
        "diabolo sample RUN --n 64 --out samples.png",
        "diabolo report RUN",
    )
    python = 'import diabolo\n\nrun = diabolo.load("RUN")\nrun.sample(16)'
    called = f", which was called {run.folder.name}" if run.folder is not None else ""
    return [
        Note(f"RUN is the path of the run's folder{called}."),
        Code("\n".join(lines)),
        Code(python),
    ]
