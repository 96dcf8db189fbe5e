"""What a run is, in words: its data, its model, its training, and which settings are its own."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ..config import DataConfig, TrainConfig
from ..errors import DiaboloError
from ..panels._run import bare, code_of, likelihood_of, one_datum, source_of
from ..registry import keywords
from ..run.folder import facts_of
from ..run.menu import find
from ._blocks import Facts, Note, Sentences, Table

if TYPE_CHECKING:
    from torch import nn

    from ..run import Run
    from ._blocks import Block

__all__ = ["data_facts", "described", "model_facts", "parameters", "settings", "training_facts"]

SPLITS = {"train": "training", "valid": "validation", "test": "test"}
ELSEWHERE = ("source", "data_dir")  # told with the data


def described(run: Run) -> list[Block]:
    """Returns what was trained on what, with which settings, and what the user was told."""
    found: list[Block] = [
        Facts(data_facts(run)),
        Facts(model_facts(run)),
        Facts(training_facts(run)),
    ]
    own = settings(run)
    if own:
        numbers = frozenset({1, 2})
        found.append(
            Table("Settings that are not the defaults", ("", "here", "default"), own, numbers)
        )
    else:
        found.append(Note("Every setting has its default."))
    if run.notes:
        found.append(Sentences(run.notes))
    return found


def data_facts(run: Run) -> list[tuple[str, str]]:
    """Returns what the data are: their kind, their parts and their fingerprints."""
    schema = run.schema
    out = [("data", source_of(run)), ("one datum", one_datum(run))]
    if schema.columns:
        names = ", ".join(map(str, schema.columns[:12]))
        more = len(schema.columns) - 12
        out.append(("columns", f"{names} and {more} more" if more > 0 else names))
    if schema.constants:
        count = len(schema.constants)
        many = "1 column that never varies" if count == 1 else f"{count} columns that never vary"
        out.append(("left out", many))
    if schema.classes:
        few = ", ".join(schema.classes[:20])
        out.append(("classes", few if len(schema.classes) <= 20 else f"{few}, ..."))
    if schema.conditions:
        out.append(("condition", ", ".join(c.name for c in schema.conditions)))
    if run.spec.missing:
        out.append(("holes", "some entries were not seen"))
    for name, title in SPLITS.items():
        if (print_ := run.prints.get(name)) is not None:
            told = f"{print_['count']} data, fingerprint {str(print_['sha256'])[:16]}"
            if print_["source"] not in (run.config.data.source, "memory"):
                told += f", from {bare(print_['source'])}"
            out.append((title, told))
    return out


def model_facts(run: Run) -> list[tuple[str, str]]:
    """Returns what the model is made of, and how many parameters it has."""
    model = run.model
    name = run.config.name
    out = [("model", name)]
    try:
        summary = inspect.cleandoc(find(run.config.recipe).__doc__ or "").split("\n")[0]
        out = [("model", f"{name}: {summary}")]
    except DiaboloError:
        pass  # a function of the user's own
    out.append(("latent", code_of(run)))
    built = {**_defaults(run), **run.config.options}
    told = [f"{n}={_text(v)}" for n, v in built.items() if v is not None and n != "latent"]
    if told:
        out.append(("built with", ", ".join(told)))
    out.append(("likelihood", likelihood_of(run)))
    whole, decoder = parameters(model), parameters(model.likelihood)
    out.append(("parameters", f"{whole:,}, of which the decoder has {decoder:,}"))
    if run.config.refit is not None:
        out.append(("prior", f"{run.config.refit.prior}, fitted to the codes after training"))
    return out


def parameters(module: nn.Module) -> int:
    """Returns how many numbers a module learned."""
    return sum(p.numel() for p in module.parameters())


def training_facts(run: Run) -> list[tuple[str, str]]:
    """Returns how long it was trained, where and when."""
    rows, best = run.history.rows, run.history.best
    out = []
    if rows and best is not None:
        why = {"epochs": "", "patience": ", ended by patience", "interrupt": ", interrupted"}
        ended = why.get(run.history.stopped, f", ended by {run.history.stopped}")
        epochs = "1 epoch" if len(rows) == 1 else f"{len(rows)} epochs"
        told = f"{epochs}, {rows[-1].step} steps in {rows[-1].seconds:.1f} s{ended}"
        out.append(("training", f"{told}; the weights are those of epoch {best.epoch}"))
        skipped = sum(row.skipped for row in rows)
        if skipped:
            out.append(("skipped", f"{skipped} steps whose numbers were not finite"))
    if run.computing:
        said = {k: v for k, v in run.computing.items() if k in ("device", "precision", "threads")}
        out.append(("computed on", ", ".join(f"{k} {v}" for k, v in said.items())))
    created, versions = _made(run)
    if created:
        out.append(("made", created))
    out.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
    if run.folder is not None:
        out.append(("folder", run.folder.name))
    return out


def _made(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Returns when a run was made, and by which versions."""
    if run.folder is not None:
        facts = facts_of(run.folder)
        return str(facts.get("created", "")), facts["versions"]
    import torch

    own = {"diabolo": version("diabolo"), "python": platform.python_version()}
    return "", {**own, "torch": torch.__version__}


def settings(run: Run) -> list[tuple[str, str, str]]:
    """Returns the settings that are not the defaults: their names, values and defaults."""
    found = []
    known = _defaults(run)
    for name, value in run.config.options.items():
        if name not in known:
            found.append((name, _text(value), ""))
        elif value != known[name]:
            found.append((name, _text(value), _text(known[name])))
    for part, config in (("train", TrainConfig), ("data", DataConfig)):
        own = getattr(run.config, part)
        for f in fields(config):
            value = getattr(own, f.name)
            if f.name in ELSEWHERE or value == f.default:
                continue
            found.append((f"{part}.{f.name}", _text(value), _text(f.default)))
    return found


def _defaults(run: Run) -> dict[str, Any]:
    """Returns the options of a run's recipe with their defaults, none for a function of its own."""
    try:
        options = keywords(find(run.config.recipe))
    except DiaboloError:
        return {}
    empty = inspect.Parameter.empty
    return {n: p.default for n, p in options.items() if p.default is not empty}


def _text(value: Any) -> str:
    """Returns an option as it is written; a network of the user's own by the name of its type."""
    text = "none" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{type(value).__name__}(...)"
