"""A table of the history for spreadsheets."""

from __future__ import annotations

import csv as tables
from collections.abc import Mapping, Sequence
from pathlib import Path

from ._base import Ended, Place, Setting, Tracker

__all__ = ["csv"]


class Csv(Tracker):
    """Writes a row for each epoch into `history.csv`, and final numbers into `final.csv`."""

    def __init__(self, folder: Path) -> None:
        self.history, self.final = folder / "history.csv", folder / "final.csv"

    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Writes the hyper-parameters into `settings.csv`."""
        self.history.parent.mkdir(parents=True, exist_ok=True)
        with self.history.with_name("settings.csv").open("w", newline="", encoding="utf-8") as file:
            tables.writer(file).writerows([("name", "value"), *settings.items()])

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Appends a row, in place of what a training that was killed wrote of it and after."""
        rows = self._rows()
        kept = [row for row in rows if int(row["step"]) < step]
        if rows and len(kept) == len(rows):
            with self.history.open("a", newline="", encoding="utf-8") as file:
                tables.writer(file).writerow([step, *map(repr, numbers.values())])
            return
        with self.history.open("w", newline="", encoding="utf-8") as file:
            table = tables.DictWriter(file, ["step", *numbers])
            table.writeheader()
            table.writerows(
                [*kept, {"step": step, **{name: repr(value) for name, value in numbers.items()}}]
            )

    def _rows(self) -> list[dict[str, str]]:
        if not self.history.is_file():
            return []
        with self.history.open(newline="", encoding="utf-8") as file:
            return list(tables.DictReader(file))

    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Writes the final numbers."""
        if numbers:
            with self.final.open("w", newline="", encoding="utf-8") as file:
                tables.writer(file).writerows(
                    [("name", "value"), *((name, repr(v)) for name, v in numbers.items())]
                )


def csv(place: Place, *, folder: str | None = None) -> Tracker:
    """Returns a tracker that writes tables: `csv/history.csv` in the folder of the run.

    Arguments:
        place: Where it may write.
        folder: Another folder, in which each run has one of its own.
    """
    return Csv(place.within("csv", folder))
