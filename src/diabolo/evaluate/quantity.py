"""One line of a table.

Shapes: none of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from .estimate import Estimate

__all__ = ["Quantity", "digits", "nats"]


class Quantity(NamedTuple):
    """One line of a table.

    Attributes:
        name: What is measured.
        value: How much.
        unit: In which unit.
        mc_stderr: The error of the estimator, where it is known.
        data_stderr: The error of the test set, where there is one.
        how: How it was found.
    """

    name: str
    value: float
    unit: str
    mc_stderr: float | None
    data_stderr: float | None
    how: str


def nats(name: str, e: Estimate, how: str | None = None) -> Quantity:
    """Returns the line of an estimate in nats, told by its `kind` unless `how` is given."""
    return Quantity(name, e.value, "nats", e.mc_stderr, e.data_stderr, how or e.kind)


def digits(error: float | None) -> str:
    """Returns a standard error in digits that tell, or nothing where it is not known."""
    if error is None:
        return ""
    return f"{error:.3f}" if error == 0 or error >= 0.001 else f"{error:.1g}"
