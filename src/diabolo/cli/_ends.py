"""How a command ends: the one place where errors become exit codes.

0: done. 1: our own fault, with a traceback. 2: the user's mistake, in one sentence.
130: interrupted by Ctrl-C. 143: ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import DiaboloError, DiaboloWarning, lacks_memory, unknown
from ..signals import Terminated, terminable

__all__ = [
    "FAULT",
    "INTERRUPTED",
    "TERMINATED",
    "USER",
    "ending",
    "guarded",
    "keep_memory",
    "leave",
    "lost",
]

FAULT, USER, INTERRUPTED, TERMINATED = 1, 2, 130, 143

# What the machine refuses for reasons that the user can change.
REFUSED = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def guarded(call: Callable[[], int | None], words: Sequence[str] = ()) -> int:
    """Calls, and returns the exit code.

    Of several processes the first alone speaks; another one is heard where it alone is mistaken.

    Arguments:
        call: The work.
        words: What was typed, for a sentence on a word that is wrong.
    """
    from cyclopts.exceptions import CycloptsError

    from ._words import on_command_line

    try:
        with terminable(), _first_speaks(), _warnings_told():
            code = call()
        sys.stdout.flush()
        return code or 0
    except CycloptsError as error:
        return _refuse(_sentence(error, words))
    except DiaboloError as error:
        return _refuse(on_command_line(str(error)), *getattr(error, "__notes__", ()))
    except KeyboardInterrupt as error:
        word, code = ending(isinstance(error, Terminated))
        if not _is_other() and not lost(error):
            print(f"diabolo: {word}; nothing was written.", file=sys.stderr)
        return code
    except BrokenPipeError:
        return _unheard()
    except SystemExit as error:  # how rich ends when it cannot print
        if isinstance(error.__context__, BrokenPipeError):
            return _unheard()
        raise
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        told = "There is too little memory: choose a smaller model, batch_size or k."
        return _refuse(told, *_who())
    except OSError as error:
        if error.errno not in REFUSED or error.filename is None:
            raise
        return _refuse(f"Cannot use '{error.filename}': {error.strerror}.", *_who())


def ending(terminated: bool) -> tuple[str, int]:
    """Returns the word and the exit code for the end by a signal: SIGTERM, or else Ctrl-C."""
    return ("Terminated", TERMINATED) if terminated else ("Interrupted", INTERRUPTED)


def leave(code: int) -> None:
    """Ends the process at once where a thread of the explorer still computes.

    It cannot be stopped within a map, and Python would kill it inside C++, which aborts the whole
    process with a message of its own in place of the exit code.

    Arguments:
        code: The exit code.
    """
    if any(t.daemon and t.name.startswith("diabolo-") for t in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def lost(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that another process was lost."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        return False
    from torch.distributed import DistError

    while error is not None:
        told = isinstance(error, RuntimeError) and "gloo" in str(error).lower()
        if told or isinstance(error, DistError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_other() -> bool:
    """Whether torchrun started this process as another than the first."""
    return os.environ.get("RANK", "0") != "0" and os.environ.get("WORLD_SIZE", "1") != "1"


def _who() -> tuple[str, ...]:
    """Which process speaks, where that is not the first."""
    return (f"(Process {os.environ['RANK']}.)",) if _is_other() else ()


@contextlib.contextmanager
def _warnings_told() -> Iterator[None]:
    """Tells what was passed over in the user's data in a line of its own."""
    from ._words import on_command_line

    with warnings.catch_warnings():
        warnings.simplefilter("always", DiaboloWarning)
        plain = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, DiaboloWarning):
                print(f"note: {on_command_line(str(message))}", file=sys.stderr)
            else:
                plain(message, category, *rest, **more)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _first_speaks() -> Iterator[None]:
    if not _is_other():
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _unheard() -> int:
    """The reader of a pipe has gone: nobody is left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def keep_memory() -> None:
    """Lets glibc keep freed memory for the next step instead of returning it to the system.

    Otherwise each training step takes hundreds of page faults. This is a setting of the whole
    process, so the command line may choose it and the library may not.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from other C libraries
    if mallopt is not None:
        mallopt(trim_threshold, most)
        mallopt(mmap_threshold, 2**30)


def _refuse(sentence: str, *notes: str) -> int:
    """Says what is wrong; another process than the first does if it has something to add."""
    if notes or not _is_other():
        print(" ".join(["diabolo:", sentence, *notes]), file=sys.stderr)
    return USER


def _sentence(error: object, words: Sequence[str]) -> str:
    """Returns what is wrong with the words that were typed, in one line."""
    from cyclopts.exceptions import (
        CycloptsError,
        UnknownCommandError,
        UnknownOptionError,
        UnusedCliTokensError,
    )

    from . import verbs

    assert isinstance(error, CycloptsError)
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return str(unknown("command", error.unused_tokens[0], verbs()))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        extra = " ".join(error.unused_tokens)
        return f"Unexpected argument: '{extra}'. See what is expected with --help."
    error.verbose = False
    if words[:1] == ["fit"] and any(w.startswith("--resume=") for w in words):
        return "--resume takes no '=': name the folder as a word of its own, fit --resume RUN."
    if isinstance(error, UnknownOptionError) and words[:1] == ["fit"]:
        from ._options import instead

        flag = next((w for w in words if w.split("=")[0] == error.token.keyword), None)
        if flag is not None and (told := instead(flag, words[words.index(flag) + 1 :])):
            return f"Unknown option: {flag.split('=')[0]}. {told}"
    return " ".join(str(error).split())
