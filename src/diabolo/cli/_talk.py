"""What the command line says: results on stdout, everything else on stderr.

Colours and bars are for terminals; rich honours NO_COLOR and TERM=dumb.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from typing import Self

    from ..config import TrainConfig
    from ..run import Event
    from ..train import Row

__all__ = ["Measuring", "Training", "duration", "note", "print_json", "print_table", "say"]

INTERVAL = 10.0  # seconds between plain lines


def note(sentence: str) -> None:
    """Tells the user something beside the result, on stderr."""
    print(f"note: {sentence}", file=sys.stderr)


def say(line: str = "", *, quiet: bool = False) -> None:
    """Prints a line of the result on stdout, unless a machine is reading."""
    if not quiet:
        print(line)


def _plain(value: Any) -> Any:
    """Returns JSON's own types; JSON knows no NaN and no infinity, so those are null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    return str(value)


def print_json(value: Mapping[str, Any]) -> None:
    """Prints one JSON object on stdout."""
    print(json.dumps(_plain(value), allow_nan=False))


def print_table(
    title: str,
    header: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    numbers: tuple[int, ...] = (),
) -> None:
    """Prints a small table on stdout.

    Arguments:
        title: Its title.
        header: The names of the columns.
        rows: The cells.
        numbers: The columns that are set flush right.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty()).print(table)


def duration(seconds: float) -> str:
    """Returns a time for people: `48 s`, `3 min 20 s`, `2 h 5 min`.

    Example:
        >>> duration(200.4)
        '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _bar(console: Console, title: str, text: str) -> tuple[Progress | None, TaskID]:
    """Returns a bar that has started and its task, or None where there is no terminal."""
    if not console.is_terminal or console.is_dumb_terminal:
        return None, TaskID(0)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[text]}", markup=False),
    )
    bar = Progress(*columns, console=console, transient=True)
    bar.start()
    return bar, bar.add_task(title, total=1.0, text=text)


class _Reporting:
    """What is told of long work while a `with` lasts; its bar is taken away at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.console = Console(stderr=True, highlight=False)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.said = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class Measuring(_Reporting):
    """The progress of an evaluation on stderr: a bar on a terminal, else a line now and then.

    It is called with the part that is done, from 0 to 1. Where the part falls, other work begins.

    Arguments:
        title: What is measured.
        then: What is done after that.
    """

    def __init__(self, title: str, then: str = "") -> None:
        super().__init__(title)
        self.then, self.done = then, 0.0
        self.began = self.said = time.monotonic()

    def __enter__(self) -> Self:
        self.bar, self.task = _bar(self.console, self.title, "")
        if self.bar is None:
            print(f"{self.title} ...", file=sys.stderr, flush=True)
        return self

    def __call__(self, done: float) -> None:
        """Shows the part that is done and the time that is left."""
        now = time.monotonic()
        if done < self.done and self.then:
            self.__exit__()
            self.title, self.then = self.then, ""
            self.began = self.said = now
            self.__enter__()
        self.done = done
        left = duration((now - self.began) * (1 - done) / done) if done > 0 else "?"
        if self.bar is not None:
            self.bar.update(self.task, completed=done, text=f"{left} left")
        elif now - self.said >= INTERVAL:
            self.said = now
            print(f"{self.title}: {done:.0%}, {left} left", file=sys.stderr, flush=True)


class Training(_Reporting):
    """The progress of a training on stderr: a bar on a terminal, else a line now and then.

    It takes what `fit(progress=...)` tells: notes, the configuration, a row for each epoch.

    Arguments:
        title: What is trained.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.config: TrainConfig | None = None
        self.notes: list[str] = []

    def __call__(self, event: Event) -> None:
        """Shows a note, the beginning, or one epoch."""
        from ..config import RunConfig

        if isinstance(event, str):
            self.notes.append(event)
            note(event)
        elif isinstance(event, RunConfig):
            self._begin(event.train)
        else:
            self._epoch(event)

    def _begin(self, config: TrainConfig) -> None:
        from ..train import computing

        self.config = config
        found = computing(config)
        where = f"{found['device']}, {found['precision']}, "
        where += "compiled" if found["compile"] else "not compiled"
        self.bar, self.task = _bar(self.console, self.title, f"first epoch ({where}) ...")
        if self.bar is None:
            limit = f", {config.minutes:g} minutes at most" if config.minutes else ""
            epochs = f"{config.epochs} epoch{'s' if config.epochs > 1 else ''}"
            print(f"{self.title}: {epochs}{limit} ({where})", file=sys.stderr, flush=True)

    def _epoch(self, row: Row) -> None:
        assert self.config is not None
        done = row.epoch / self.config.epochs
        if self.config.minutes is not None:
            done = max(done, row.seconds / (60 * self.config.minutes))
        done = min(done, 1.0)
        left = duration(row.seconds * (1 - done) / done)
        text = f"epoch {row.epoch}/{self.config.epochs}, validation {row.valid_elbo:.2f} nats"
        if self.bar is not None:
            self.bar.update(self.task, completed=done, text=f"{text}, {left} left")
            return
        now = time.monotonic()
        if now - self.said >= INTERVAL or done == 1.0:
            self.said = now
            when = f"{left} left" if done < 1.0 else f"done in {duration(row.seconds)}"
            print(f"{self.title}: {text}, {when}", file=sys.stderr, flush=True)
