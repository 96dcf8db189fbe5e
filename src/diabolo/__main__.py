"""The entry of the command line, and the one place where errors become exit codes.

0: done. 1: our own fault, with a traceback. 2: the user's mistake, in one sentence.
130: interrupted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence

from .errors import DiaboloError, lacks_memory, unknown

__all__ = ["main"]

USER, INTERRUPTED = 2, 130

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Arguments:
        argv: The words after `diabolo`; None takes them from the process.
    """
    from cyclopts.exceptions import CycloptsError

    from .cli import make_app
    from .cli._words import on_command_line

    _share_processors()
    _keep_memory()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = make_app()(
            words, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
        return code or 0
    except CycloptsError as error:
        return _refuse(_sentence(error, words))
    except DiaboloError as error:
        return _refuse(on_command_line(str(error)))
    except KeyboardInterrupt:
        print("diabolo: Interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return _unheard()
    except SystemExit as error:  # how rich ends when it cannot print
        if isinstance(error.__context__, BrokenPipeError):
            return _unheard()
        raise
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        return _refuse("There is too little memory: choose a smaller model, batch_size or k.")
    except OSError as error:
        if error.errno not in REFUSED or error.filename is None:
            raise
        return _refuse(f"Cannot use '{error.filename}': {error.strerror}.")


def _unheard() -> int:
    """The reader of a pipe has gone: nobody is left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _keep_memory() -> None:
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


def _share_processors() -> None:
    """Lets idle threads sleep instead of spinning until the next operation.

    Where the cores are shared with anything else, spinning costs several times the work itself.
    It holds for this process only, since torch is not imported yet; the user's own setting wins.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _refuse(sentence: str) -> int:
    print(f"diabolo: {sentence}", file=sys.stderr)
    return USER


def _sentence(error: object, words: Sequence[str]) -> str:
    """Returns what is wrong with the words that were typed, in one line."""
    from cyclopts.exceptions import (
        CycloptsError,
        UnknownCommandError,
        UnknownOptionError,
        UnusedCliTokensError,
    )

    from .cli import verbs

    assert isinstance(error, CycloptsError)
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return str(unknown("command", error.unused_tokens[0], verbs()))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        extra = " ".join(error.unused_tokens)
        return f"Unexpected argument: '{extra}'. See what is expected with --help."
    error.verbose = False
    if isinstance(error, UnknownOptionError) and words[:1] == ["fit"]:
        from .cli._options import instead

        flag = next((w for w in words if w.split("=")[0] == error.token.keyword), None)
        if flag is not None and (told := instead(flag, words[words.index(flag) + 1 :])):
            return f"Unknown option: {flag.split('=')[0]}. {told}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
