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
from ..signals import Holding, usual

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
    has installed is left alone, and so are signals outside the main thread, which sees none. From
    here on `signals.holding` around it, if there is one, holds signals back.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM) if main}
    ours = {s: handler for s, handler in before.items() if usual(handler)}
    for s in ours:
        signal.signal(s, note)
    told = False  # whether the last answer was a signal

    def asked() -> int | None:
        nonlocal told
        told = bool(caught)
        return caught[0] if caught else None

    try:
        yield asked
    finally:
        holders = {h for h in ours.values() if isinstance(h, Holding)}
        for holder in holders:
            holder.on = True
        for s, handler in ours.items():
            signal.signal(s, handler)
        for holder in holders:  # what came after the last question is not lost
            holder.caught += [] if told else caught


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
