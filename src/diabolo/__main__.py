"""The entry of the command line; `cli/_ends.py` tells the exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Arguments:
        argv: The words after `diabolo`; None takes them from the process.
    """
    from .cli import make_app
    from .cli._ends import guarded, keep_memory, leave

    _share_processors()
    keep_memory()
    words = list(sys.argv[1:] if argv is None else argv)

    def run() -> int | None:
        return make_app()(
            words, exit_on_error=False, print_error=False, result_action="return_value"
        )

    code = guarded(run, words)
    if argv is None:  # the process's own words: it ends here
        leave(code)
    return code


def _share_processors() -> None:
    """Lets idle threads spin for the next operation for microseconds only, and then sleep.

    Where the cores are shared with anything else, spinning as long as OpenMP does costs several
    times the work itself; not to spin at all costs twice the work on a quiet machine. It holds for
    this process only, since torch is not imported yet; the user's own setting wins.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


if __name__ == "__main__":
    sys.exit(main())
