"""The table of numbers that ends a training or an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._talk import print_table, say
from ._words import on_command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..evaluate import Diagnosis, Evaluation, Quantity, SampleQuality
    from ..run import Run

__all__ = ["SPLITS", "print_diagnosis", "print_evaluation", "print_samples"]

SPLITS = {"test": "test data", "valid": "validation data"}  # by the name of a split

SHOWN = 20  # latent elements that are worth a line
WIDTH = 24  # letters of the longest bar
FULL, PARTS = "\u2588", "\u258f\u258e\u258d\u258c\u258b\u258a\u2589"  # eighths of a block

HEADER = ("quantity", "value", "mc_stderr", "data_stderr", "unit")


def print_evaluation(run: Run, found: Evaluation, where: str) -> None:
    """Prints each quantity with its two standard errors, and below what each of them is.

    Arguments:
        run: What was evaluated.
        found: The numbers.
        where: What it was evaluated on.
    """
    plural = "datum" if found.n == 1 else "data"
    title = f"{run.config.name} on {where} ({found.n} {plural}, means per datum)"
    _print_quantities(title, found.rows())


def print_diagnosis(found: Diagnosis) -> None:
    """Prints the latent elements by rate, each section, and the verdict last.

    Arguments:
        found: The diagnosis.
    """
    say("DIAGNOSIS")
    say()
    order = found.order
    known = not bool(found.rate.isnan().all())
    size = found.rate if known else found.sensitivity
    most = max((v for v in size.tolist() if v == v), default=0.0)
    of = [g for g, n in enumerate(found.groups, 1) for _ in range(n)]
    rows = []
    for j in order[:SHOWN]:
        group = (str(of[j]),) if len(found.groups) > 1 else ()
        cells = (_number(float(found.rate[j])), _bar(float(size[j]), most))
        active = "yes" if found.active[j] else "no"
        rows.append((f"z{j}", *group, *cells, _number(float(found.sensitivity[j])), active))
    group = ("group",) if len(found.groups) > 1 else ()
    header = ("element", *group, "rate", "", "slope", "active")
    numbers = (len(group) + 1, len(group) + 3)
    print_table("Latent elements, by rate in nats", header, rows, numbers=numbers)
    left = order[SHOWN:]
    if left:
        rest = "have no rate or slope that is known"
        values = [v for v in size[left].tolist() if v == v]
        if values:
            rest = f"are below {_number(max(values))}"
        say(f"  {len(left)} more {rest}.")
        say()
    for section in found.sections:
        if section.rows:
            _print_quantities(section.title, section.rows)
        else:
            say(section.title)
        for sentence in section.notes:
            say(f"  {sentence}")
        if section.notes:
            say()
    say("VERDICT")
    for finding in found.verdict:
        mark = "!" if finding.fault else "-"
        say(f"  {mark} {on_command_line(str(finding))}")
    say()


def print_samples(found: SampleQuality) -> None:
    """Prints how good samples are, and what to be careful with.

    Arguments:
        found: The numbers.
    """
    kind = "means of p(x|z)" if found.mean else "draws from p(x|z)"
    _print_quantities(f"SAMPLES ({found.n} {kind} beside as many data)", found.rows())
    for sentence in found.notes:
        say(f"  {on_command_line(sentence)}")
    say()


def _print_quantities(title: str, quantities: Sequence[Quantity]) -> None:
    """Prints a table of quantities, and below how each of them was found."""
    from ..evaluate.quantity import digits  # brings torch, which --help has no need of

    rows = []
    for q in quantities:
        whole = q.unit == "" and float(q.value).is_integer()
        small = q.unit == "" and 0 < abs(q.value) < 0.001
        value = str(int(q.value)) if whole else f"{q.value:.{'1g' if small else '3f'}}"
        rows.append((q.name, value, digits(q.mc_stderr), digits(q.data_stderr), q.unit))
    print_table(title, HEADER, rows, numbers=(1, 2, 3))
    width = max(len(q.name) for q in quantities)
    for q in quantities:
        say(f"  {q.name:<{width}}  {q.how}")
    say()


def _bar(value: float, most: float) -> str:
    """Returns a bar as long as the value is large, in eighths of a letter."""
    if not value > 0 or not most > 0:
        return ""
    eighths = round(8 * WIDTH * value / most)
    return FULL * (eighths // 8) + (PARTS[eighths % 8 - 1] if eighths % 8 else "")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"
