"""Densities with nothing attached. The folder is the registry of likelihoods.

A file holds a density (`Normal`) and, where it can serve as a likelihood, its family
(`NormalFamily`), which `family("Normal(scale=shared)")` finds.
"""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DiaboloError, unknown
from ..registry import check_options, parse_call
from .base import Distribution, Family, draw, total
from .bernoulli import Bernoulli
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretized_logistic import DiscretizedLogistic
from .flowed import Couplings, Flowed
from .kl import kl_divergence, kl_elements
from .laplace import Laplace
from .log_normal import LogNormal
from .logistic import Logistic
from .mixture import Mixture
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .poisson import Poisson
from .spaces import REALS, SPHERE, Space, space_of
from .standardized import Standardized, StandardizedFamily
from .von_mises_fisher import VonMisesFisher

__all__ = [
    "REALS",
    "SPHERE",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Couplings",
    "Dirac",
    "DiscretizedLogistic",
    "Distribution",
    "Family",
    "Flowed",
    "Laplace",
    "LogNormal",
    "Logistic",
    "Mixture",
    "MultivariateNormal",
    "Normal",
    "Poisson",
    "Space",
    "Standardized",
    "StandardizedFamily",
    "VonMisesFisher",
    "default_family",
    "draw",
    "families",
    "family",
    "kl_divergence",
    "kl_elements",
    "space_of",
    "total",
]

DEFAULTS = {
    "binary": "Bernoulli",
    "byte": "DiscretizedLogistic",
    "unit": "ContinuousBernoulli",
    "real": "Normal(scale=shared)",
    "positive": "LogNormal",
    "count": "Poisson",
    "category": "Categorical",
    "ordinal": "Categorical",
}


@cache
def families() -> dict[str, type[Family]]:
    """Returns every likelihood's family by the name of its density, found in the folder."""
    found: dict[str, type[Family]] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = importlib.import_module(f"{__name__}.{path.stem}")
        for name, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == module.__name__
            # A family without a support is no likelihood by itself: points, wrappers.
            if own and issubclass(member, Family) and member.supports:
                found[name.removesuffix("Family")] = member
    return found


def family(call: str | Family, *, levels: int | None = None, support: str | None = None) -> Family:
    """Returns the family that a name with options stands for: `family("Normal(scale=shared)")`.

    Arguments:
        call: The name with options, or a family, which is checked and given back.
        levels: The number of values of the data's support, where it has levels.
        support: The data's support.

    Raises:
        DiaboloError: If the name or an option is unknown, or the family is made for data of
            another support or number of levels.
    """
    if isinstance(call, Family):
        _check_made_for(call, levels, support)
        return call
    name, options = parse_call(call)
    if name not in families():
        raise unknown("likelihood", name, families())
    cls = families()[name]
    check_options(f"likelihood '{name}'", cls.__init__, options)
    given: dict[str, Any] = {"levels": levels, "support": support, **options}
    made = cls(**given)
    _check_made_for(made, levels, support)
    return made


def _check_made_for(made: Family, levels: int | None, support: str | None) -> None:
    name = type(made).__name__.removesuffix("Family")
    for what, own, data in (("levels", made.levels, levels), ("support", made.support, support)):
        if own is None or own == data or (data is None and support is None):
            continue
        have = f"{what}={data!r}" if data is not None else f"no {what}"
        do = f"make it with {what}={data!r}, or give" if data is not None else "give"
        raise DiaboloError(
            f"This {name} was made for {what}={own!r}, but these data have {have}: "
            f"{do} its name instead."
        )


def default_family(support: str) -> str:
    """Returns the likelihood that data of this support get when none is asked for.

    Raises:
        DiaboloError: If there is none.
    """
    if support not in DEFAULTS:
        raise DiaboloError(f"There is no default likelihood for '{support}' data: name one.")
    return DEFAULTS[support]
