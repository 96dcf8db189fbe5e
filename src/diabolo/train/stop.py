"""Ctrl-C and SIGTERM as a question that is asked between two steps.

Shapes: none.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from ..signals import terminate

__all__ = ["Stopped", "stoppable"]


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
