"""Sentences for the user's mistakes: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DiaboloError", "missing_extra", "unknown"]


class DiaboloError(ValueError):
    """A mistake of the user's, told in one sentence; the command line exits with 2."""


def unknown(what: str, got: str, known: Iterable[str]) -> DiaboloError:
    """Returns the error for a name that is not among the known ones, with the nearest of them."""
    names = sorted(known)
    near = difflib.get_close_matches(got, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return DiaboloError(f"Unknown {what}: '{got}'.{hint} Known: {', '.join(names) or 'none'}.")


def missing_extra(package: str, extra: str, what: str) -> DiaboloError:
    """Returns the error for an optional package that is not installed."""
    return DiaboloError(
        f"{what} needs the package '{package}', which is not installed. "
        f"Install it with: pip install 'diabolo[{extra}]'."
    )
