"""`--devices N`: several processes of this machine, started and watched by torchrun's own agent.

The agent starts all processes anew when one of them is lost, and the training goes on from its
checkpoint. What no new start would cure, a user's mistake say, is noted in a file, and whoever
finds it there ends with the same exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..errors import DiaboloError
from ._ends import INTERRUPTED, TERMINATED, guarded, keep_memory, lost

__all__ = ["launch", "launched"]

RESTARTS = 3
ENDED = "ended"  # the file with the exit code


def launched() -> bool:
    """Whether torchrun, or `launch`, has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(devices: int, call: Callable[..., int], *args: Any, **options: Any) -> int:
    """Calls in several processes of this machine; returns the worst of their exit codes.

    Arguments:
        devices: How many.
        call: A function of a module, which the processes import.
        args: Its arguments, which are pickled.
        options: Likewise.

    Raises:
        DiaboloError: If the processes were started by torchrun already, or are too few.
    """
    if devices == 1:
        return call(*args, **options)
    if launched():
        raise DiaboloError(
            "torchrun has started these processes already: leave --devices out, and say "
            "torchrun --nproc-per-node for their number."
        )
    if devices < 1:
        raise DiaboloError(f"--devices is the number of processes, 1 or more, but got {devices}.")
    # Kept from --help: they bring torch.
    import uuid

    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _hush()
    with tempfile.TemporaryDirectory(prefix="diabolo-") as folder, _environment(devices):
        ended = Path(folder) / ENDED
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=RESTARTS,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(),
            local_addr="localhost",
        )
        try:
            found = elastic_launch(config, work)(str(ended), call, args, options)
        except ChildFailedError:
            if ended.is_file():
                return int(ended.read_text())
            told = f"diabolo: A process was lost {RESTARTS + 1} times. If the run has a checkpoint,"
            print(f"{told} go on with: diabolo fit --resume RUN", file=sys.stderr)
            return 1
        except SignalException as error:
            return INTERRUPTED if error.sigval == signal.SIGINT else 128 + int(error.sigval)
    return max(found.values())


def _hush() -> None:
    """Leaves out the lines of the agent's modules, whose news we tell in our words."""
    names = "torch.distributed.elastic", "torch.multiprocessing"
    for name in [*names, *logging.root.manager.loggerDict]:  # each module sets a level of its own
        if name.startswith(names):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _environment(devices: int) -> Iterator[None]:
    """What the agent and its processes find in their environment, for a while."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    wanted = {
        # Otherwise a second start finds the addresses of the first one's processes, where nobody
        # listens any more (torch 2.13; https://github.com/pytorch/pytorch/issues/135712).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // devices))),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def work(ended: str, call: Callable[..., int], args: Any, options: Any) -> int:
    """What each process does; returns its exit code.

    Arguments:
        ended: The file that says with which code all has ended.
        call: The work.
        args: Its arguments.
        options: Likewise.

    Raises:
        SystemExit: With 1, at a fault of our own.
    """
    note = Path(ended)
    if note.is_file():
        return int(note.read_text())
    with contextlib.suppress(OSError):  # the leader of a session is in a group of its own
        os.setpgid(0, 0)  # so that Ctrl-C reaches the agent alone, which hands it on once
    keep_memory()
    try:
        code = guarded(lambda: call(*args, **options))
    except Exception as error:
        if lost(error):
            _leave(1)
        traceback.print_exc()
        _write(note, 1)
        raise SystemExit(1) from None
    if code in (INTERRUPTED, TERMINATED):
        # The agent asks for the end as well when it is to start all anew; it knows which it is.
        _leave(code)
    if code:
        _write(note, code)
    return code


def _leave(code: int) -> NoReturn:
    """Ends this process at once: one that returned would wait for the others, which may be gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _write(note: Path, code: int) -> None:
    """Notes with which code all ends, unless another process has."""
    with contextlib.suppress(FileExistsError), note.open("x") as file:
        file.write(str(code))
