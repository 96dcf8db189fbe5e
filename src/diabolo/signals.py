"""SIGTERM as an exception, and moments in which neither it nor Ctrl-C disturbs.

Shapes: none.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Holding", "Terminated", "holding", "terminable", "terminate", "undisturbed", "usual"]


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


class Holding:
    """A handler that does as the one before it did, until it is told to hold signals back.

    Attributes:
        before: The handlers before, by signal.
        on: Whether signals are held back.
        caught: The signals that were.
    """

    def __init__(self, before: dict[signal.Signals, Any]) -> None:
        self.before, self.on = before, False
        self.caught: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        handler = self.before[signal.Signals(number)]
        if self.on:
            self.caught.append(number)
        elif callable(handler):
            handler(number, frame)
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)


@contextlib.contextmanager
def holding() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back from the end of the training within until its own end.

    `train.stop.stoppable`, which asks between two steps whether to stop, begins it when it ends,
    so that no moment lies between a whole training and what is written of it. A handler that the
    user has installed is left alone, and so are other threads than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    both = (signal.SIGINT, signal.SIGTERM)
    handler = Holding({s: h for s in both if usual(h := signal.getsignal(s))})
    for number in handler.before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in handler.before.items():
            signal.signal(number, before)
    if handler.caught:
        signal.raise_signal(handler.caught[0])


def usual(handler: object) -> bool:
    """Whether a handler is Python's own or one of ours, and may be replaced for a while."""
    ours = handler is terminate or isinstance(handler, Holding)
    return ours or handler in (signal.default_int_handler, signal.SIG_DFL)
