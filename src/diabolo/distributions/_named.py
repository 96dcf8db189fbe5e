"""Families by name: the folder is their registry."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DiaboloError, unknown
from ..registry import check_options, parse_call
from .base import Family

__all__ = ["DEFAULTS", "default_column", "default_family", "families", "family"]

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
# Of one column among others: a real one may have outliers, counts vary more than Poisson's.
COLUMN = {**DEFAULTS, "real": "StudentT", "count": "NegativeBinomial"}


@cache
def families() -> dict[str, type[Family]]:
    """Returns every likelihood's family by the name of its density, found in the folder."""
    found: dict[str, type[Family]] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
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
    for what, own, data in (("levels", made.levels, levels), ("support", made.support, support)):
        if own is None or own == data or (data is None and support is None):
            continue
        have = f"{what}={data!r}" if data is not None else f"no {what}"
        do = f"make it with {what}={data!r}, or give" if data is not None else "give"
        raise DiaboloError(
            f"This {made.name} was made for {what}={own!r}, but these data have {have}: "
            f"{do} its name instead."
        )


def default_family(support: str, kinds: tuple[str, ...] = ()) -> str:
    """Returns the likelihood that data of this support get when none is asked for.

    Arguments:
        support: The data's support.
        kinds: Of `mixed` data, the support of each column, as in a `Spec`.

    Raises:
        DiaboloError: If there is none.
    """
    if support == "mixed" and kinds:
        return f"Product(columns={tuple(map(default_column, kinds))})"
    if support not in DEFAULTS:
        raise DiaboloError(f"There is no default likelihood for '{support}' data: name one.")
    return DEFAULTS[support]


def default_column(kind: str) -> str:
    """Returns the likelihood that a column of mixed data of this support gets: `category:4`."""
    support, _, levels = kind.partition(":")
    name = COLUMN.get(support) or default_family(support)
    return f"{name}(levels={levels}, support={support})" if levels else name
