"""Opening the folder of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ..config import parse
from ..data import Schema
from ..errors import DiaboloError
from ..model import Recipe
from ..recipes._refit import of_codes, with_prior
from ..train import pick_device
from . import folder as folders
from . import store
from .menu import build, checked, find
from .run import Run

__all__ = ["load"]


def load(folder: str | Path, *, recipe: Callable[..., Recipe] | None = None) -> Run:
    """Returns the run that a folder holds, its model in evaluation mode.

    Nothing in the folder is run as code. The recipe is one of diabolo's or of an installed
    package's, found by its name; any other has to be passed.

    Arguments:
        folder: The folder that `fit` or `Run.save` wrote.
        recipe: The function `(spec, **options) -> Recipe` that built the run, where its name
            does not tell; it is passed the options that were stored.

    Raises:
        DiaboloError: If the folder holds no run, a damaged one, or one that is not built by name.
    """
    path = Path(folder)
    stored = folders.read(path)
    facts = stored.facts
    function = recipe
    if function is None:
        function = find(facts["config"]["recipe"])
        if facts["opaque"]:
            raise DiaboloError(
                f"{path} was built with {', '.join(facts['opaque'])} of the user's own, which is "
                "not stored: pass the function that builds it, load(folder, recipe=function)."
            )
    config = parse(facts["config"])
    options = {k: store.tuples(v) for k, v in config.options.items()}
    if recipe is None:
        options = checked(config.recipe, options)
    config = replace(config, options=options)
    try:
        spec = store.spec(stored)
        schema = Schema.from_json(facts["schema"])
        history = store.history(stored)
        prints, metrics = facts["data"], facts["metrics"]
    except (KeyError, TypeError) as error:
        raise DiaboloError(f"{path / folders.RUN} is damaged: {error}.") from None
    with torch.random.fork_rng(devices=[]):
        built = build(function, spec, config.options)
        if config.refit is not None:
            built = with_prior(built, of_codes(built.model, config.refit.prior))
    store.fill(built, stored.tensors, str(path))
    built.model.eval()
    built.model.to(_device(config.train.device))
    return Run(
        recipe=built,
        spec=spec,
        schema=schema,
        config=config,
        history=history,
        metrics=metrics,
        notes=tuple(facts["notes"]),
        prints=prints,
        computing=facts.get("computing", {}),
        folder=path,
        function=recipe,
    )


def _device(name: str) -> torch.device:
    """The device that the run was fitted on, or the best there is where that one is absent."""
    try:
        return pick_device(name)
    except DiaboloError:
        return pick_device("auto")
