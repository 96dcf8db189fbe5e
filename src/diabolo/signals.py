"""SIGTERM as an exception, and a few moments in which neither it nor Ctrl-C disturbs.

Shapes: none.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Terminated", "terminable", "terminate", "undisturbed"]


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as batch systems do before they kill it."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Raises `Terminated`; the handler of SIGTERM inside `terminable`."""
    raise Terminated("The process was asked to end.")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM raise `Terminated`, so that what was begun is put away.

    A handler that the user has installed is left alone, and so are other threads than the main
    one, which see no signals.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back until a few files have been written and renamed together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    before = {s: signal.signal(s, later) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that is not Python's.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if caught:
        signal.raise_signal(caught[0])
