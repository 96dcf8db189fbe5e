"""Densities with nothing attached. The folder is the registry of likelihoods.

A file holds a density (`Normal`) and, where it can serve as a likelihood, its family
(`NormalFamily`), which `family("Normal(scale=shared)")` finds.
"""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from pathlib import Path

from ..errors import DiaboloError, unknown
from ..registry import check_options, parse_call
from .base import Distribution, Family, draw, total
from .bernoulli import Bernoulli
from .dirac import Dirac
from .kl import kl_divergence, kl_elements
from .normal import Normal

__all__ = [
    "Bernoulli",
    "Dirac",
    "Distribution",
    "Family",
    "Normal",
    "default_family",
    "draw",
    "families",
    "family",
    "kl_divergence",
    "kl_elements",
    "total",
]

DEFAULTS = {
    "binary": "Bernoulli",
    "byte": "DiscretizedLogistic",
    "unit": "ContinuousBernoulli",
    "real": "Normal",
}


@cache
def families() -> dict[str, type[Family]]:
    """Returns every family by the name of its density, found in the folder."""
    found: dict[str, type[Family]] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = importlib.import_module(f"{__name__}.{path.stem}")
        for name, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == module.__name__
            if own and issubclass(member, Family) and member is not Family:
                found[name.removesuffix("Family")] = member
    return found


def family(call: str | Family, *, levels: int | None = None) -> Family:
    """Returns the family that a name with options stands for: `family("Normal(scale=shared)")`.

    Raises:
        DiaboloError: If the name or an option is unknown.
    """
    if isinstance(call, Family):
        return call
    name, options = parse_call(call)
    if name not in families():
        raise unknown("likelihood", name, families())
    cls = families()[name]
    check_options(f"likelihood '{name}'", cls.__init__, options)
    return cls(**{"levels": levels, **options})


def default_family(support: str) -> str:
    """Returns the likelihood that data of this support get when none is asked for.

    Raises:
        DiaboloError: If there is none.
    """
    if support not in DEFAULTS:
        raise DiaboloError(f"There is no default likelihood for '{support}' data: name one.")
    return DEFAULTS[support]
