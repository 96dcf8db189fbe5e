"""Between a run in memory and what its folder holds: JSON, tensors, rows.

A recipe that its name and options rebuild is recorded so; an option that is no JSON value (a
user's own network, say) is recorded as opaque, and loading then asks for the function.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from ..errors import DiaboloError
from ..model import Recipe
from ..spec import SUPPORTS, Spec
from ..train import History, Row, Stop
from .folder import FORMAT, KIND, Stored

if TYPE_CHECKING:
    from .run import Run

__all__ = ["fill", "history", "spec", "store", "tuples"]


def store(run: Run) -> Stored:
    """Returns what a run's folder is to hold."""
    options: dict[str, Any] = {}
    opaque: dict[str, str] = {}
    for name, value in run.config.options.items():
        try:
            options[name] = plain(value)
        except TypeError:
            opaque[name] = repr(value).split("\n")[0]
    best, refit = run.history.best, run.config.refit
    facts = {
        "kind": KIND,
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "diabolo": version("diabolo"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "config": {
            "recipe": run.config.recipe,
            "options": options,
            "data": plain(asdict(run.config.data)),
            "train": plain(asdict(run.config.train)),
            **({} if refit is None else {"refit": plain(asdict(refit))}),
        },
        "by_name": run.function is None and not opaque,
        "opaque": opaque,
        "spec": _facts(run.spec),
        "schema": run.schema.to_json(),
        "data": plain(run.prints),
        "computing": plain(run.computing),
        "notes": list(run.notes),
        "stopped": run.history.stopped,
        "epochs": len(run.history.rows),
        "steps": run.history.rows[-1].step if run.history.rows else 0,
        "seconds": run.history.rows[-1].seconds if run.history.rows else 0.0,
        "best_epoch": None if best is None else best.epoch,
        "metrics": plain(run.metrics),
    }
    tensors = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    if isinstance(run.recipe.objective, nn.Module):
        tensors |= {f"objective.{k}": v for k, v in run.recipe.objective.state_dict().items()}
    for name in ("mean", "scale", "resolution"):
        if (value := getattr(run.spec, name)) is not None:
            tensors[f"spec.{name}"] = value
    return Stored(facts, tensors, [plain(asdict(r)) for r in run.history.rows])


def plain(value: Any) -> Any:
    """Returns a value as JSON knows it; a number that is not finite is None.

    Raises:
        TypeError: If JSON has nothing for it.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence):
        return [plain(v) for v in value]
    raise TypeError(f"JSON has no {type(value).__name__}.")


def tuples(value: Any) -> Any:
    """Returns a JSON value with its lists as tuples, as options were before they were stored."""
    return tuple(tuples(v) for v in value) if isinstance(value, list) else value


def _facts(spec: Spec) -> dict[str, Any]:
    return {
        "event": list(spec.event),
        "support": spec.support,
        "levels": spec.levels,
        "kinds": list(spec.kinds),
        "names": list(spec.names),
        "condition": spec.condition,
        "unlabelled": spec.unlabelled,
        "count": spec.count,
        "missing": spec.missing,
        "examples": None if spec.examples is None else len(spec.examples),
    }


def spec(stored: Stored) -> Spec:
    """Returns the spec of a stored run; its examples, which only set initial values, are zeros.

    Raises:
        DiaboloError: If a part has another type or an impossible value.
    """
    facts = dict(stored.facts["spec"])
    count, event = facts.pop("examples"), tuple(facts.pop("event"))
    kinds = tuple(facts.pop("kinds", ()))  # runs of before there were any have none
    names = tuple(facts.pop("names", ()))
    for name, good in (
        ("event", bool(event) and all(isinstance(e, int) and e > 0 for e in event)),
        ("support", facts["support"] in SUPPORTS),
        ("condition", isinstance(facts["condition"], int) and facts["condition"] >= 0),
        ("unlabelled", isinstance(facts.get("unlabelled"), int | None)),
        ("examples", count is None or (isinstance(count, int) and count >= 0)),
    ):
        if not good:
            raise DiaboloError(f"The spec of the run is damaged: its '{name}' cannot be.")
    return Spec(
        **facts,
        event=event,
        kinds=kinds,
        names=names,
        mean=stored.tensors.get("spec.mean"),
        scale=stored.tensors.get("spec.scale"),
        resolution=stored.tensors.get("spec.resolution"),
        examples=None if count is None else torch.zeros(count, *event),
    )


def history(stored: Stored) -> History:
    """Returns the history of a stored run; a number that JSON could not hold is NaN.

    Raises:
        DiaboloError: If a row lacks a value or has one of another type.
    """
    rows = [{k: math.nan if v is None else v for k, v in row.items()} for row in stored.rows]
    try:
        return History(
            TypeAdapter(list[Row]).validate_python(rows),
            TypeAdapter(Stop).validate_python(stored.facts.get("stopped")),
            dict(stored.facts.get("computing", {})),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"])) or "stopped"
        raise DiaboloError(f"The history of the run is damaged: {where}: {first['msg']}.") from None


def fill(recipe: Recipe, tensors: Mapping[str, Tensor], source: str) -> None:
    """Puts stored weights in a recipe's model and objective.

    Arguments:
        recipe: What they are put in.
        tensors: The weights by name, `model.*` and `objective.*`.
        source: Where they come from, for messages.

    Raises:
        DiaboloError: At the first weight that is lacking, left over or of another shape.
    """
    modules = {"model": recipe.model, "objective": recipe.objective}
    for part, module in modules.items():
        given = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if _in(k, part)}
        wanted = module.state_dict() if isinstance(module, nn.Module) else {}
        for name in [*wanted, *given]:
            there = tuple(given[name].shape) if name in given else None
            asked = tuple(wanted[name].shape) if name in wanted else None
            if there != asked:
                raise DiaboloError(
                    f"The weights of {source} do not fit this recipe: '{part}.{name}' "
                    f"{_told(there)} there, but {_told(asked)} in the recipe."
                )
        if isinstance(module, nn.Module):
            kind = next((v.dtype for v in given.values() if v.is_floating_point()), None)
            module.to(dtype=kind)
            module.load_state_dict(given)


def _in(name: str, part: str) -> bool:
    return name.startswith(f"{part}.")


def _told(shape: tuple[int, ...] | None) -> str:
    return "is missing" if shape is None else f"has the shape {shape}"
