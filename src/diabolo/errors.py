"""Sentences for the user's mistakes: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

__all__ = [
    "DiaboloError",
    "DiaboloWarning",
    "lacks_memory",
    "missing_extra",
    "near",
    "unknown",
    "whole",
]


class DiaboloError(ValueError):
    """A mistake of the user's, told in one sentence; the command line exits with 2."""


class DiaboloWarning(UserWarning):
    """Something of the user's data that was passed over, told in one sentence."""


def near(got: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is nearest to what was typed, or None if none is near."""
    return next(iter(difflib.get_close_matches(got, sorted(known), n=1)), None)


def unknown(what: str, got: str, known: Iterable[str]) -> DiaboloError:
    """Returns the error for a name that is not among the known ones, with the nearest of them."""
    names = sorted(known)
    found = near(got, names)
    hint = f" Did you mean '{found}'?" if found else ""
    return DiaboloError(f"Unknown {what}: '{got}'.{hint} Known: {', '.join(names) or 'none'}.")


def whole(name: str, value: Any, *, least: int | None = None) -> int:
    """Returns a whole number that a user gave, of Python or NumPy.

    Raises:
        DiaboloError: If it is of another type, or less than the least.
    """
    wanted = "a whole number" if least is None else f"a whole number of {least} or more"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        raise DiaboloError(f"{name} is {wanted}, but got {value!r}.")
    return number


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of this machine or its accelerator, is spent."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def missing_extra(package: str, extra: str, what: str) -> DiaboloError:
    """Returns the error for an optional package that is not installed."""
    return DiaboloError(
        f"{what} needs the package '{package}', which is not installed. "
        f"Install it with: pip install 'diabolo[{extra}]'."
    )
