"""The front door: from data to a fitted run in one call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import torch

from .. import ranks, train
from ..config import DataConfig, RunConfig, resolve
from ..data import Loaded, Schema, Splits
from ..data import load as load_data
from ..data.hub import column_names, is_dataset
from ..data.readers.table import is_table
from ..data.sets import SETS
from ..data.table import is_frame
from ..distributions import Family, ProductFamily, families, family
from ..errors import DiaboloError
from ..evaluate import draw_digest
from ..model import Recipe
from ..noise import mix_seed
from ..registry import keywords, parse_call
from ..trackers import Tracking
from . import folder as folders
from . import store
from .began import Began
from .load import load
from .measure import class_counts
from .menu import build, checked, find, takers
from .presets import PRESETS
from .restarted import restarted
from .run import Run
from .training import Event, Fitting
from .workshop import workshop

__all__ = ["Plan", "fit", "plan", "sort_words"]


def fit(
    data: Any,
    recipe: str | Callable[..., Recipe] | None = None,
    *,
    out: str | Path | None = None,
    labels: Any = None,
    condition: Any = None,
    valid: Any = None,
    test: Any = None,
    start: Run | str | Path | None = None,
    force: bool = False,
    track: str | Sequence[str] = (),
    progress: Callable[[Event], object] | None = None,
    **options: Any,
) -> Run:
    """Fits a model to data and returns it with all that belongs to it.

    Arguments:
        data: An array, a tensor, a data frame, a Hugging Face `Dataset`, the path of a file or
            folder, or the name of a set such as `digits`.
        recipe: The name of a recipe, or a function `(spec, *, options) -> Recipe`; None takes
            `start`'s, or else `cvae` where a condition is asked for and `vae` where none is.
        out: The folder to save the run in, which appears when training has ended.
        labels: A label for each datum (N,), or the name of the column or array that holds them.
        condition: What a conditional model reads: `labels`, names of columns, or values (N, C).
        valid: Data for validation as `data`, or (data, labels), instead of a part of `data`; a
            number says how large a part.
        test: Data for the final numbers, likewise.
        start: A run, or its folder, from whose weights training starts.
        force: Whether a run that lies in `out` already, or a checkpoint left there, may be
            replaced. A run is replaced when the training has come to its end, and never by one
            that was interrupted, which is kept beside it to go on with, or that diverged.
        track: Who else is told of each epoch: `"tensorboard"`, `"csv, mlflow(experiment='a')"`, or
            a list of such calls.
        progress: Called with each note (a string), once with the whole configuration, and with
            each epoch's `Row`; `print` will do.
        options: Options of the recipe, of `TrainConfig` and of `DataConfig`, by name; a name
            that more than one of them has belongs to the first, and `**{"data.seed": 1}` says
            which.

    Under `torchrun --max-restarts`, processes that are started anew since one of them was lost go
    on with the training in `out` by themselves.

    Returns:
        The run. Options that nobody gave are those of the set's preset, then the defaults.

    Raises:
        DiaboloError: At data that cannot be read, an unknown or unfit option, a place that
            cannot be written, before training.
        Diverged: If a number is not finite; the best weights are saved before, if there are any.
        Interrupted: At Ctrl-C or SIGTERM, a KeyboardInterrupt; the best weights so far are saved
            before, and `resume` goes on with the training.
    """
    place = None if out is None else Path(out).resolve()
    with contextlib.ExitStack() as stack:
        stack.enter_context(ranks.joined())
        place = ranks.first(lambda: place)
        so_far = ranks.first(lambda: restarted(place, force=force))
        if place is not None and so_far == "ended":
            return load(place)
        if place is not None and so_far == "began":
            from .resume import resume

            kept = {"labels": labels, "condition": condition, "valid": valid, "test": test}
            return resume(
                place, data, recipe=recipe, start=start, progress=progress, **kept, **options
            )

        def open_workshop() -> Path | None:
            if place is None:
                return None
            folders.refuse(place, force=force)
            return stack.enter_context(workshop(place, force=force))

        part = ranks.first(open_workshop)
        with ranks.agree():
            planned = plan(data, recipe, labels, condition, valid, test, start, options)
            tracking = Tracking(track, part, place.name if place else "memory", say=progress)
        stack.callback(tracking.close)
        run = planned.run(ranks.in_turn(planned.read))
        fitting = Fitting(run, place, part, Began.of(run, planned.given()), progress, tracking)
        fitting.begin()
        return fitting.train()


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be fitted to what, resolved and checked."""

    source: Any
    config: RunConfig
    function: Callable[..., Recipe]
    named: bool
    labels: Any = None
    condition: Any = None
    valid: Any = None
    test: Any = None
    start: Run | None = None
    notes: tuple[str, ...] = ()

    def read(self) -> tuple[Loaded, dict[str, str]]:
        """Returns the data, and where each split comes from."""
        loaded = load_data(
            self.source,
            self.config.data,
            labels=self.labels,
            condition=self.condition,
            valid=self.valid,
            test=self.test,
        )
        return loaded, self.origins()

    def origins(self) -> dict[str, str]:
        """Returns where each split can be read again: a name or path, or `memory`."""
        base = self.config.data.source
        if self.labels is not None or self.condition is not None:
            base = "memory"
        valid, test = (
            base if v is None else str(v) if isinstance(v, str | Path) else "memory"
            for v in (self.valid, self.test)
        )
        # Without the validation data, the source would be split anew.
        train = "memory" if valid == "memory" else base
        return {"train": train, "valid": valid, "test": test}

    def given(self) -> dict[str, str | None]:
        """Returns what was passed beside the options: a name or path, `memory`, or None."""
        start = None if self.start is None else self.start.folder or "memory"
        every = {"data": self.source, "start": start}
        every |= {n: getattr(self, n) for n in ("labels", "condition", "valid", "test")}
        return {
            name: None if v is None else str(v) if isinstance(v, str | Path) else "memory"
            for name, v in every.items()
        }

    def run(self, work: tuple[Loaded, dict[str, str]]) -> Run:
        """Returns the run before training."""
        loaded, origins = work
        splits = loaded.splits
        spec = splits.train.spec(standardize=loaded.schema.standardize)
        schema = loaded.schema
        names = tuple(schema.columns[i] for i in schema.kept) if schema.columns else ()
        spec = replace(spec, names=names, unlabelled=schema.unlabelled(splits.train))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seed(self.config.train.seed, 0))
            recipe = build(self.function, spec, self.config.options)
        if self.start is not None:
            tensors = store.store(self.start).tensors
            kept = {k: v for k, v in tensors.items() if k.startswith("model.")}
            store.fill(recipe._replace(objective=_nothing), kept, repr(self.start))
        prints: dict[str, dict[str, Any]] = {
            name: {
                "count": len(part),
                "sha256": folders.fingerprint(part),
                "source": origins[name],
            }
            for name, part in zip(Splits._fields, splits, strict=True)
            if part is not None
        }
        for name in ("valid", "test"):  # numbers are published of these, and name their x
            data = getattr(splits, name)
            if data is not None and (drawn := draw_digest(data)) is not None:
                prints[name]["x_sha256"] = drawn
        prints["train"]["classes"] = class_counts(splits.train)
        return Run(
            recipe=recipe,
            spec=spec,
            schema=loaded.schema,
            config=self.config,
            notes=(
                *self.notes,
                *loaded.notes,
                *_stepped(recipe, loaded.schema),
                *train.clipped(self.config.train, len(splits.train)),
            ),
            prints=prints,
            computing=train.computing(self.config.train),
            function=None if self.named else self.function,
            splits=splits,
        )


def _stepped(recipe: Recipe, schema: Schema) -> list[str]:
    """Returns a sentence if discrete values of real data keep a learned scale wide."""
    family = recipe.model.likelihood.family
    stepped = family.stepped if isinstance(family, Family) else None
    if stepped is None or not bool(stepped.any()):
        return []
    found = stepped.flatten().nonzero().flatten().tolist()
    density = "the density" if isinstance(family, ProductFamily) else family.name
    tail = (
        f"take values in steps: the scale of {density} is kept above "
        "step / sqrt(12) there, so that the density cannot narrow onto the values."
    )
    if schema.layout != "vector":
        return [f"{len(found)} of {stepped.numel()} elements {tail}"]
    names = [schema.column(schema.kept[i]).removeprefix("column ") for i in found]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    if len(names) == 1:
        tail = tail.replace("take values", "takes values", 1)
    return [f"Column{'s' * (len(names) > 1)} {', '.join(names[:5])}{more} {tail}"]


def _nothing(trace: Any) -> Any:
    """Stands for an objective whose state is not taken over."""
    raise NotImplementedError


def plan(
    data: Any,
    recipe: str | Callable[..., Recipe] | None,
    labels: Any,
    condition: Any,
    valid: Any,
    test: Any,
    start: Run | str | Path | None,
    options: Mapping[str, Any],
) -> Plan:
    """Returns what `fit` would do, with its errors, before data are read."""
    _refuse(data)
    given, (labels, condition, valid) = sort_words(data, labels, condition, valid, options)
    named = isinstance(data, str | Path)
    origin = load(start) if isinstance(start, str | Path) else start
    conditional = condition is not None or given.get("data.condition") is not None
    config, function, by_name = _recipe(recipe, origin, conditional)
    config = replace(config, data=replace(config.data, source=str(data) if named else "memory"))
    config, notes = _preset(config, function, given)
    config = resolve(config, given, list(keywords(function)), takers)
    if config.data.source != (str(data) if named else "memory"):
        raise DiaboloError("The source of the data is the first argument: leave data.source out.")
    if by_name:
        config = replace(config, options=checked(config.recipe, config.options))
    config = replace(config, data=_kinds(config))
    return Plan(data, config, function, by_name, labels, condition, valid, test, origin, notes)


def _kinds(config: RunConfig) -> DataConfig:
    """Returns how data are read, with the kinds of columns that a `Product` of densities tells."""
    call, data = config.options.get("likelihood"), config.data
    if isinstance(call, Mapping) and data.support is None:
        return replace(data, support="mixed")
    if isinstance(call, str) and families().get(parse_call(call)[0]) is ProductFamily:
        call = family(call)
    told = data.kinds or data.support not in (None, "mixed")
    if told or not isinstance(call, ProductFamily):
        return data
    return replace(data, support="mixed", kinds=call.kinds)


def sort_words(
    data: Any, labels: Any, condition: Any, valid: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Any, Any, Any]]:
    """Returns the options with the words that say how data are read, and the values left."""
    given = dict(options)
    # These names are fields of DataConfig too: words go there, values to the reader.
    if isinstance(labels, str):
        given["data.labels"], labels = labels, None
    if isinstance(condition, str) or _words(condition, data):
        given["data.condition"] = condition if isinstance(condition, str) else tuple(condition)
        condition = None
    if isinstance(valid, int | float) and not isinstance(valid, bool):
        given["data.valid"], valid = valid, None
    return given, (labels, condition, valid)


def _refuse(data: Any) -> None:
    """Refuses what is no data at all."""
    if isinstance(data, str) and not data.strip():
        raise DiaboloError("The path of the data is empty: name a set, a file or a folder.")
    if data is None:
        raise DiaboloError(
            "Expected data, but got None: an array, a tensor, a data frame, a path or a set's name."
        )
    if isinstance(data, Mapping) and not is_dataset(data):
        keys = ", ".join(map(repr, data)) or "none"
        raise DiaboloError(
            f"A mapping is no data (its keys: {keys}): pass one of its arrays, or a data frame."
        )


def _words(value: Any, data: Any) -> bool:
    """Whether a condition is names of columns: a tuple, or a list of columns that a table has.

    Any other list holds values, one a row.
    """
    if not isinstance(value, (tuple, list)) or not all(isinstance(v, str) for v in value):
        return False
    if isinstance(value, tuple):
        return True
    if is_dataset(data):
        return set(value) <= set(column_names(data))
    if is_frame(data):
        return set(value) <= set(nw.from_native(data).columns)
    # A column that the file has not is refused by its name.
    table = isinstance(data, str | Path) and is_table(data)
    return table and len(set(value)) == len(value)


def _recipe(
    recipe: str | Callable[..., Recipe] | None, origin: Run | None, conditional: bool
) -> tuple[RunConfig, Callable[..., Recipe], bool]:
    """Returns a configuration with the recipe, its function, and whether its name tells it."""
    if origin is not None and origin.config.refit is not None:
        raise DiaboloError(
            "The prior of this run was fitted afterwards, to a frozen encoder: start from the run "
            "that it was refitted from."
        )
    if recipe is None and origin is not None:
        base = RunConfig(recipe=origin.config.recipe, options=origin.config.options)
        if origin.function is not None:
            return base, origin.function, False
        return base, find(base.recipe), True
    if recipe is None:
        recipe = "cvae" if conditional else "vae"
    if isinstance(recipe, str):
        return RunConfig(recipe=recipe), find(recipe), True
    if not callable(recipe):
        raise DiaboloError(
            f"A recipe is a name or a function (spec, *, options) -> Recipe, not "
            f"{type(recipe).__name__}."
        )
    name = f"{recipe.__module__}:{getattr(recipe, '__qualname__', type(recipe).__qualname__)}"
    return RunConfig(recipe=name), recipe, False


def _preset(
    config: RunConfig, function: Callable[..., Recipe], given: Mapping[str, Any]
) -> tuple[RunConfig, tuple[str, ...]]:
    """Returns the configuration with the defaults of a named set, and what to say of it."""
    preset = PRESETS.get(config.data.source)
    if preset is None or config.data.source not in SETS.names():
        return config, ()
    said = {name.rpartition(".")[2] for name in given}
    out = {name for name, others in preset.gives_way.items() if said.intersection(others)}
    taken = keywords(function)
    own, reading, training = (
        {k: v for k, v in part.items() if k not in out}
        for part in (preset.recipe, preset.data, preset.train)
    )
    if "condition" in said:
        own = {**own, **preset.conditional}
    own = {k: v for k, v in own.items() if k in taken}
    config = replace(
        config,
        options={**own, **config.options},
        data=replace(config.data, **reading),
        train=replace(config.train, **training),
    )
    every = {**own, **reading, **training}
    told = ", ".join(f"{k}={v}" for k, v in every.items())
    return config, (f"Defaults for '{config.data.source}', where nothing else is said: {told}.",)
