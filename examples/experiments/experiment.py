"""The frame of an experiment: its settings, its claims with their thresholds, its record.

An experiment runs with quick settings wherever it is run (the tests, these pages), and with full
ones when it is asked to (`python plot_ring.py --full --data-dir DATA`), which writes its record and
its figure to `docs/results/experiments`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import torch
from PIL import Image

__all__ = ["RESULTS", "Claim", "Experiment", "holds"]

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "experiments"
NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
COMPARED = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}

T = TypeVar("T")


def holds(value: float, threshold: str) -> bool:
    """Returns whether a value meets a threshold; nothing that is not a number does.

    Arguments:
        value: What was measured.
        threshold: `< x`, `<= x`, `> x`, `>= x`, `within t of x` or `between a and b`.

    Raises:
        ValueError: If the threshold is none of these.
    """
    if one := re.fullmatch(rf"(<=|>=|<|>) {NUMBER}", threshold):
        return not math.isnan(value) and COMPARED[one[1]](value, float(one[2]))
    if near := re.fullmatch(rf"within {NUMBER} of {NUMBER}", threshold):
        return abs(value - float(near[2])) <= float(near[1])
    if two := re.fullmatch(rf"between {NUMBER} and {NUMBER}", threshold):
        return float(two[1]) <= value <= float(two[2])
    raise ValueError(
        f"Expected a threshold such as '< 0.1', '>= 3', 'within 0.1 of 2' or 'between 1 and 2', "
        f"but got {threshold!r}."
    )


@dataclass(frozen=True)
class Claim:
    """One measured number beside what it must be.

    Attributes:
        row: The row of the table of claims that it belongs to, such as `A13`.
        what: What was measured.
        value: The number.
        unit: Its unit; empty for one without.
        stderr: Its standard error, where it has one.
        threshold: What it must meet; None where it is only told.
        passed: Whether it does; None where it is not judged.
        given: The threshold that the row names, where another one is used.
        changed: Why another one is used.
    """

    row: str
    what: str
    value: float
    unit: str
    stderr: float | None
    threshold: str | None
    passed: bool | None
    given: str | None
    changed: str | None

    def __str__(self) -> str:
        judged = {True: "passed", False: "MISSED", None: "told"}[self.passed]
        error = "" if self.stderr is None else f" ± {self.stderr:.2g}"
        number = f"{self.value:.5g}{error} {self.unit}".strip()
        asked = "" if self.threshold is None else f" ({self.threshold})"
        return f"{judged:6} {self.row:>4}  {self.what}: {number}{asked}"


class Experiment:
    """One script of the gallery: what it may use, and what it must show.

    Arguments:
        name: That of the script, without `plot_`; the gallery runs scripts without a `__file__`.
    """

    def __init__(self, name: str) -> None:
        parser = argparse.ArgumentParser(description="Run one experiment.")
        parser.add_argument("--full", action="store_true", help="full settings; writes the record")
        parser.add_argument("--data-dir", help="where MNIST and its like lie")
        asked = parser.parse_args(sys.argv[1:])
        self.name = name
        self.full: bool = asked.full
        self.data_dir: str | None = asked.data_dir or os.environ.get("DIABOLO_DATA")
        self.claims: list[Claim] = []
        self.began = time.perf_counter()
        torch.manual_seed(0)

    @property
    def source(self) -> dict[str, Any]:
        """Options of `diabolo.fit` that say where the data of the full settings lie."""
        if not self.full:
            return {}
        if self.data_dir is None:
            sys.exit("The full settings use real data: say where with --data-dir DATA.")
        return {"data_dir": self.data_dir}

    def pick(self, quick: T, full: T) -> T:
        """Returns the one of two settings that is in use."""
        return full if self.full else quick

    def claim(
        self,
        row: str,
        what: str,
        value: float,
        threshold: str | None = None,
        *,
        quick: str | None = None,
        only_full: bool = False,
        unit: str = "",
        stderr: float | None = None,
        given: str | None = None,
        changed: str | None = None,
    ) -> None:
        """Holds a number to a threshold.

        Arguments:
            row: The row of the table of claims.
            what: What was measured.
            value: The number.
            threshold: What it must meet, see `holds`; None for a number that is only told.
            quick: A looser threshold for the quick settings.
            only_full: Whether the quick settings are too small for the claim, and only tell.
            unit: Its unit.
            stderr: Its standard error.
            given: The threshold that the row names, where another one is used.
            changed: Why another one is used.
        """
        if (given is None) != (changed is None):
            raise ValueError("Say both the threshold that was given and why it was changed.")
        bound = threshold
        if not self.full:
            bound = None if only_full else quick or threshold
        value = float(value)
        passed = None if bound is None else holds(value, bound)
        error = None if stderr is None else float(stderr)
        self.claims.append(Claim(row, what, value, unit, error, bound, passed, given, changed))

    def finish(self, figure: Any = None) -> None:
        """Prints every claim; writes the record with full settings.

        Arguments:
            figure: The figure to keep; None takes the one drawn last.

        Raises:
            AssertionError: If a claim is missed with quick settings. With full ones it is recorded.
        """
        seconds = time.perf_counter() - self.began
        print("\n".join(map(str, self.claims)))
        missed = [c for c in self.claims if c.passed is False]
        if not self.full:
            assert not missed, "\n".join(map(str, missed))
            return
        RESULTS.mkdir(parents=True, exist_ok=True)
        if figure is None and plt.get_fignums():
            figure = plt.gcf()
        if figure is not None:
            picture = RESULTS / f"{self.name}.png"
            figure.savefig(picture, dpi=110)
            small = Image.open(picture).convert("RGB")
            small.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)
        record = {
            "name": self.name,
            "seconds": round(seconds, 1),
            "torch": torch.__version__,
            "claims": [
                asdict(c) | {"value": c.value if math.isfinite(c.value) else str(c.value)}
                for c in self.claims
            ],
        }
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        (RESULTS / f"{self.name}.json").write_text(text, encoding="utf-8")
        print(f"{seconds:.0f} s; {len(missed)} of {len(self.claims)} missed")
