"""The table of numbers that ends a training or an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._talk import print_table, say

if TYPE_CHECKING:
    from ..evaluate import Evaluation
    from ..run import Run

__all__ = ["SPLITS", "print_evaluation"]

SPLITS = {"test": "test data", "valid": "validation data"}  # by the name of a split

HEADER = ("quantity", "value", "mc_stderr", "data_stderr", "unit")


def print_evaluation(run: Run, found: Evaluation, where: str) -> None:
    """Prints each quantity with its two standard errors, and below what each of them is.

    Arguments:
        run: What was evaluated.
        found: The numbers.
        where: What it was evaluated on.
    """
    rows = []
    quantities = found.rows()
    for q in quantities:
        whole = q.unit == "" and float(q.value).is_integer()
        value = str(int(q.value)) if whole else f"{q.value:.3f}"
        rows.append((q.name, value, _error(q.mc_stderr), _error(q.data_stderr), q.unit))
    plural = "datum" if found.n == 1 else "data"
    title = f"{run.config.name} on {where} ({found.n} {plural}, means per datum)"
    print_table(title, HEADER, rows, numbers=(1, 2, 3))
    width = max(len(q.name) for q in quantities)
    for q in quantities:
        say(f"  {q.name:<{width}}  {q.how}")
    say()


def _error(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value == 0 or value >= 0.001 else f"{value:.1g}"
