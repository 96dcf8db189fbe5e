"""The menu: `recipes/<name>.py` defines `<name>(spec, *, options) -> Recipe`.

The signature is the schema: option names, types and defaults are read from it by the command
line, the documentation and `run.json`.
"""

from __future__ import annotations

from typing import Any

from ..model import Recipe
from ..registry import Registry, check_options
from ..spec import Spec

__all__ = ["RECIPES", "build"]

RECIPES = Registry("recipe", __name__)


def build(name: str, spec: Spec, **options: Any) -> Recipe:
    """Returns the recipe called `name` for data of this spec.

    Raises:
        DiaboloError: If the recipe or an option is unknown, or does not fit the data.
    """
    function = RECIPES.load(name)
    check_options(f"recipe '{name}'", function, options)
    return function(spec, **options)
