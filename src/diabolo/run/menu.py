"""Which functions may build a run: the recipes of this package and of installed ones.

Nothing else is found by name, so that reading a folder runs no code of the folder's choice. A
package adds recipes with an entry point of the group `diabolo.recipes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from ..errors import DiaboloError, lacks_memory, unknown
from ..model import Recipe
from ..recipes import RECIPES
from ..registry import check_options, keywords, typed
from ..spec import Spec

__all__ = ["build", "checked", "find", "takers"]

GROUP = "diabolo.recipes"


def find(name: str) -> Callable[..., Recipe]:
    """Returns the recipe of this name, of this package or of an installed one.

    Raises:
        DiaboloError: If there is none.
    """
    if name in RECIPES.names():
        return RECIPES.load(name)
    foreign = {e.name: e for e in entry_points(group=GROUP)}
    if name in foreign:
        return foreign[name].load()
    if not name.isidentifier():
        raise DiaboloError(
            f"'{name}' is not the name of a recipe: nothing but the recipes of diabolo and of "
            "installed packages is looked up by name. Pass the function itself, recipe=function."
        )
    raise unknown("recipe", name, [*RECIPES.names(), *foreign])


def takers(option: str) -> list[str]:
    """Returns the recipes of this package that take an option."""
    return [name for name in RECIPES.names() if option in keywords(RECIPES.load(name))]


def checked(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recipe's options with their values brought to the types of its signature.

    Raises:
        DiaboloError: At an unknown option, or a value of another type, naming the option.
    """
    return typed(f"recipe '{name}'", find(name), options)


def build(function: Callable[..., Recipe], spec: Spec, options: Mapping[str, Any]) -> Recipe:
    """Returns what a recipe's function makes of a spec.

    Raises:
        DiaboloError: If it does not take an option, returns no recipe, or asks for more memory
            than there is.
    """
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        check_options("the recipe", function, options)
    try:
        recipe = function(spec, **options)
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        told = ", ".join(f"{k}={v}" for k, v in options.items()) or "its default options"
        raise DiaboloError(
            f"A model with {told} needs more memory than there is: choose a smaller one."
        ) from None
    if not isinstance(recipe, Recipe):
        raise DiaboloError(
            f"A recipe's function returns diabolo.Recipe(model, objective, k), but this one "
            f"returned {type(recipe).__name__}."
        )
    if spec.unlabelled and not recipe.model.classifies:
        raise DiaboloError(
            f"{spec.unlabelled} of {spec.count} training data have no label, which this recipe "
            "needs for each: use 'm2', or leave those rows out."
        )
    return recipe
