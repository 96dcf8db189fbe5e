"""The one home of configuration: frozen dataclasses, strictly parsed at the edges.

A `RunConfig` is what `run.json` holds and what the command line's `--set` changes. `resolve` takes
flat options (`latent=16`, `epochs=20`, `train.epochs=20`) and finds where each belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_type_hints

from .errors import DiaboloError, near, unknown
from .registry import takes_bool

__all__ = ["DataConfig", "RefitConfig", "RunConfig", "TrainConfig", "parse", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where the data come from and how they are read.

    Arguments:
        source: A named set or a path; `memory` for arrays passed in Python.
        data_dir: The folder in which named sets are looked for.
        support: The support of one value, or None to infer it (`byte:17` gives the levels).
        kinds: What the columns of a table are, by name, such as `{'age': 'real'}`; others are
            inferred. Of an array of `mixed` data, the support of each column, such as
            `('real', 'category:4')`; () takes those of the likelihood's densities, or infers them.
        binarize: How grey levels become bits: drawn anew each step (`dynamic`), drawn once by
            row (`static`), cut at one half (`threshold`), or not at all (`no`).
        dequantize: Add uniform noise to grey levels, so that a continuous density fits them.
        standardize: Let the model standardise real data; None does so.
        missing: What NaN means: `refuse`, or `nan` for entries that were not seen; `auto` is `nan`
            for tables and `refuse` for arrays.
        rare: The rows that a level of a category needs in training, or it shares a code with the
            other rare ones; None takes 10, or one in a hundred where that is fewer.
        unseen: What a level is that training had not, in a column without rare ones: `refuse`, or
            `missing` to take it as not seen.
        size: Height and width to which images of a folder are brought.
        color: The channels of a folder's images: `auto`, `grey`, `rgb`.
        key: The name of the array in a `.npz` or `.mat` file.
        labels: The labels: an array's key, a column's name, or `none` to ignore those found.
        condition: What a conditional model reads: `labels`, or column names, or an array's key.
        labelled: Whether `all` data have the label that is their condition, or `some`: then it
            may be missing. A number hides the labels of all but so many training data a class.
        valid: The part of the training data held out for validation, or their number from 1 on.
        limit: Use only so many training data, drawn at random; None uses all.
        seed: The seed of splits and of fixed binarisation and dequantisation.
        strict: Refuse a folder with an unreadable image instead of skipping the image.
        memory: Whether data are read `whole` into memory, or stay in their files, `mapped`, and
            are read in chunks; `auto` leaves in files what exceeds 1 GiB or a quarter of the
            memory that is left.
    """

    source: str = "digits"
    data_dir: str | None = None
    support: str | None = None
    kinds: tuple[str, ...] | dict[str, str] = ()
    binarize: Literal["no", "dynamic", "static", "threshold"] = "no"
    dequantize: bool = False
    standardize: bool | None = None
    missing: Literal["auto", "refuse", "nan"] = "auto"
    rare: int | None = None
    unseen: Literal["refuse", "missing"] = "refuse"
    size: int | tuple[int, int] | None = None
    color: Literal["auto", "grey", "rgb"] = "auto"
    key: str | None = None
    labels: str | None = None
    condition: str | tuple[str, ...] | None = None
    labelled: Literal["all", "some"] | int = "all"
    valid: float = 0.1
    limit: int | None = None
    seed: int = 0
    strict: bool = False
    memory: Literal["auto", "whole", "mapped"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How the one loop trains.

    Arguments:
        epochs: Passes over the training data at most.
        minutes: Stop after so many minutes of wall clock; schedules follow whichever of epochs
            and minutes is nearer to its end. A run that minutes end is not repeated exactly.
        batch_size: Data in one step.
        accumulate: Batches whose gradients are summed before one step.
        optimizer: The optimiser.
        learning_rate: Its largest learning rate.
        schedule: How the learning rate falls: `constant`, or `cosine` to a hundredth.
        warmup: The part of training over which the learning rate rises from 0.
        weight_decay: Decoupled weight decay; needs `adamw`.
        clip: The largest gradient norm, or None.
        ema: The decay of the moving average of weights that is evaluated and saved; 0 is off.
        patience: Epochs after which to stop if none of them was the best on validation data, or
            None.
        select: What is best on validation data: the weights of the highest `elbo`, whatever was
            trained (but of an importance-weighted or trimmed bound that bound, and of a
            deterministic model the objective), or at the `price` of the rate that was trained
            with, of -D - beta R.
        device: Where to compute.
        precision: The type in which networks compute; densities are float32 always. `auto` takes
            bfloat16 for long trainings on bits or categories where it is measured to be faster.
        compile: Whether to make the whole step one compiled graph; `auto` does so for trainings
            that are long enough to win back the time that compiling takes.
        checkpoint_minutes: Minutes between checkpoints in a run folder.
        seed: The seed of weights, order and noise.
    """

    epochs: int = 50
    minutes: float | None = None
    batch_size: int = 128
    accumulate: int = 1
    optimizer: Literal["adam", "adamw", "adamax"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = 100.0
    ema: float = 0.0
    patience: int | None = None
    select: Literal["elbo", "price"] = "elbo"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    checkpoint_minutes: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulate", "learning_rate", "checkpoint_minutes")
        for name in positive:
            if not getattr(self, name) > 0:
                raise DiaboloError(f"train.{name} must be positive, not {getattr(self, name)}.")
        for name in ("minutes", "clip", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise DiaboloError(f"train.{name} must be positive or none, not {value}.")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise DiaboloError(f"train.{name} must lie in [0, 1), not {getattr(self, name)}.")
        if self.weight_decay < 0 or (self.weight_decay and self.optimizer != "adamw"):
            raise DiaboloError(
                "train.weight_decay has an effect with optimizer='adamw' only, and is not negative."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitConfig:
    """A prior that was fitted to the codes of a finished model.

    Arguments:
        prior: The name of a prior or of a recipe, with options.
        train: How it was trained, where it has no closed form.
    """

    prior: str
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that makes a run: the recipe with its options, the data and the training.

    Where the prior is another one that was fitted afterwards, `refit` says which.
    """

    recipe: str = "vae"
    options: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    refit: RefitConfig | None = None

    @property
    def name(self) -> str:
        """The recipe's name, and that of the prior it was refitted with."""
        return self.recipe if self.refit is None else f"refit({self.recipe}, {self.refit.prior})"


def parse(value: Mapping[str, Any]) -> RunConfig:
    """Reads a configuration from JSON-like values, strictly.

    Raises:
        DiaboloError: At an unknown key or a value of the wrong type, naming it.
    """
    for key in value:
        if key not in [f.name for f in fields(RunConfig)]:
            raise unknown("part of the configuration", key, [f.name for f in fields(RunConfig)])
    refit = value.get("refit")
    if refit is not None:
        own = _build(TrainConfig, refit.get("train", {}), "refit.train")
        refit = _build(RefitConfig, {**refit, "train": own}, "refit")
    return RunConfig(
        recipe=str(value.get("recipe", "vae")),
        options=dict(value.get("options", {})),
        data=_build(DataConfig, value.get("data", {}), "data"),
        train=_build(TrainConfig, value.get("train", {}), "train"),
        refit=refit,
    )


def _build(cls: Any, values: Mapping[str, Any], part: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(cls)
    for name, value in values.items():
        if name not in hints:
            raise unknown(f"option of {part}", name, list(hints))
        if isinstance(value, bool) and not takes_bool(hints[name]):
            raise DiaboloError(f"{part}.{name} is neither true nor false, but got {value!r}.")
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in (part, *first["loc"][:1]))
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, DiaboloError):
            raise cause from None
        raise DiaboloError(
            f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}, but got {first['input']!r}."
        ) from None


def resolve(
    base: RunConfig,
    options: Mapping[str, Any],
    recipe_options: list[str],
    takers: Callable[[str], Sequence[str]] = lambda name: (),
) -> RunConfig:
    """Puts flat options where they belong: `train.epochs` or `epochs`, `data.size`, `latent`.

    Arguments:
        base: What holds where nothing is said.
        options: Names, with or without their part, and values.
        recipe_options: The options of the recipe, which a bare name means first.
        takers: Tells which recipes take an option, for the error.

    Raises:
        DiaboloError: At an unknown name, with the nearest known one, a wrong value, or an option
            that is given by two names.
    """
    raw = {"options": dict(base.options), "data": asdict(base.data), "train": asdict(base.train)}
    known = {
        "options": list(recipe_options),
        "train": [f.name for f in fields(TrainConfig)],
        "data": [f.name for f in fields(DataConfig)],
    }
    placed: dict[tuple[str, str], str] = {}
    for name, value in options.items():
        part, dot, key = name.partition(".")
        part = {"recipe": "options"}.get(part, part)
        if dot and part in known:
            found = [part] if key in known[part] else []
        else:
            key = name
            found = [p for p in known if name in known[p]]
        if not found:
            every = [*known["options"], *(f"{p}.{k}" for p in ("train", "data") for k in known[p])]
            bare = [k for p in known for k in known[p]]
            raise _unknown_option(base.recipe, name, every, bare, takers(key))
        former = placed.setdefault((found[0], key), name)
        if former != name:
            raise DiaboloError(f"'{former}' and '{name}' are the same option: give one of them.")
        raw[found[0]][key] = value
    return replace(
        base,
        options=raw["options"],
        data=_build(DataConfig, raw["data"], "data"),
        train=_build(TrainConfig, raw["train"], "train"),
    )


def _unknown_option(
    recipe: str, name: str, every: list[str], bare: list[str], others: Sequence[str]
) -> DiaboloError:
    """Returns the error for an option; all are too many to tell where one is near."""
    found = near(name, [*every, *bare])
    told = f"Unknown option of recipe '{recipe}': '{name}'."
    if others:
        told += f" It is an option of {', '.join(others)}."
    elif found is not None:
        told += f" Did you mean '{found}'?"
    if found is None and not others:
        return DiaboloError(f"{told} Known: {', '.join(every)}.")
    return DiaboloError(f"{told} See all with: diabolo list recipes, diabolo list settings.")
