"""Ctrl-C and SIGTERM as a question that is asked between two steps.

Shapes: none.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from .. import ranks
from ..signals import terminate

__all__ = ["Stopped", "agreed", "stoppable"]


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and did after a whole step.

    Attributes:
        number: The signal that asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__("Training was interrupted.")
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], int | None]]:
    """Yields what tells which signal has asked to stop, None so far.

    The second Ctrl-C raises `KeyboardInterrupt` wherever the program is. A handler that the user
    has installed is left alone, and so are signals outside the main thread, which sees none.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    usual = (signal.default_int_handler, signal.SIG_DFL, terminate)
    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM) if main}
    ours = {s: handler for s, handler in before.items() if handler in usual}
    for s in ours:
        signal.signal(s, note)
    try:
        yield lambda: caught[0] if caught else None
    finally:
        for s, handler in ours.items():
            signal.signal(s, handler)


def agreed(seconds: float, asked: int | None) -> tuple[float, int]:
    """Returns the clock of the first process and the signal that any was sent, 0 without one.

    All processes call it together, so that they stop, and go by the clock, at the same step.
    """
    if not ranks.several():
        return seconds, asked or 0
    signals = (signal.SIGINT, signal.SIGTERM)
    told = [seconds if ranks.lead() else 0.0, *(float(asked == s) for s in signals)]
    clock, *sent = ranks.total(torch.tensor(told, dtype=torch.float64)).tolist()
    return clock, next((int(s) for s, n in zip(signals, sent, strict=True) if n), 0)
