"""One measurement in a process of its own: `python -m beside.work TASK RESULT` (both JSON).

Machines have modes: the same work takes up to twice as long at another hour. A fixed matrix
product, timed just before and just after, tells in which mode a call was.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["Clock", "bits", "images", "main", "memory", "probe", "repeated"]

SIDE = 1024  # of the probe's matrices


class Clock:
    """Marks of time and of page faults, one for each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.faults: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Starts an epoch."""
        self.at, self.had = time.perf_counter(), _faults()

    def end(self) -> None:
        """Ends an epoch, and starts the next."""
        self.seconds.append(time.perf_counter() - self.at)
        self.faults.append(_faults() - self.had)
        self.begin()

    def result(self, n: int, steps: int) -> dict[str, Any]:
        """Returns what a training took; the first epoch, which warms up, is apart."""
        return {
            "first": self.seconds[0],
            "epochs": self.seconds,
            "seconds": statistics.median(self.seconds[1:] or self.seconds),
            "count": n,
            "faults": statistics.median(self.faults[1:] or self.faults) / steps,
        }


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def memory() -> float | None:
    """Returns the most memory this process has held, in MiB; None where the system does not say.

    `ru_maxrss` would not do: a child begins with its parent's. The high-water mark of the address
    space begins with the program.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def unseen(count: int, dtype: str = "float32") -> Any:
    """Returns a flat array of its own mapping, which leaves malloc as it was.

    glibc raises its threshold for mappings to the largest block that was ever freed. A measurement
    that freed one of its own would take away the page faults that it is to count.
    """
    import numpy as np

    return np.frombuffer(mmap.mmap(-1, count * np.dtype(dtype).itemsize), dtype=dtype)


def probe(seconds: float = 0.25) -> float:
    """Returns the rate of a fixed matrix product in float32, in GFLOP/s."""
    import torch

    a, b, out = (torch.from_numpy(unseen(SIDE * SIDE)).view(SIDE, SIDE) for _ in range(3))
    a.uniform_(), b.uniform_()
    torch.mm(a, b, out=out)
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        at = time.perf_counter()
        torch.mm(a, b, out=out)
        times.append(time.perf_counter() - at)
    return 2 * SIDE**3 / statistics.median(times) / 1e9


def bits(folder: str | Path, name: str, n: int) -> Any:
    """Returns the first n images of a split, (n, 1, 28, 28) of bits in uint8, as a tensor.

    More than there are begin again with the first. Nothing as large is allocated beside.
    """
    import torch

    found = torch.empty(n, 1, 28, 28, dtype=torch.uint8)
    flat = memoryview(found.numpy()).cast("B")
    with open(Path(folder) / f"{name}.u8", "rb", buffering=0) as file:
        at = 0
        while at < len(flat):
            got = file.readinto(flat[at:])
            if not got:
                file.seek(0)
            at += got
    return found


def images(folder: str | Path, name: str, n: int, rows: int = 4096) -> Any:
    """Returns the same as float32, which the peers keep in memory."""
    import torch

    found = torch.empty(n, 1, 28, 28)
    part = torch.from_numpy(unseen(rows * 784, "uint8"))
    with open(Path(folder) / f"{name}.u8", "rb", buffering=0) as file:
        for start in range(0, n, rows):
            count = min(rows, n - start)
            assert file.readinto(memoryview(part.numpy())[: count * 784]) == count * 784
            found[start : start + count] = part[: count * 784].view(count, 1, 28, 28)
    return found


def repeated(function: Callable[[], Any], least: float = 2.0, most: int = 20) -> dict[str, Any]:
    """Returns the median time of a function that has run once before."""
    at = time.perf_counter()
    function()
    first = time.perf_counter() - at
    times: list[float] = []
    while len(times) < 1 or (sum(times) < least and len(times) < most):
        at = time.perf_counter()
        function()
        times.append(time.perf_counter() - at)
    return {"first": first, "seconds": statistics.median(times)}


def keep_memory() -> None:
    """Lets freed memory stay with the process, with the values of Diabolo's command line."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    assert mallopt is not None, "this C library has no mallopt"
    assert mallopt(-1, 2**31 - 1), "M_TRIM_THRESHOLD was refused"
    assert mallopt(-3, 2**30), "M_MMAP_THRESHOLD was refused"


@contextlib.contextmanager
def _probed(result: dict[str, Any]) -> Iterator[None]:
    before = probe()
    yield
    result["gemm"] = (before + probe()) / 2


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Does a task in this process and returns what it took."""
    if task.get("allocator"):
        keep_memory()
    function = getattr(importlib.import_module(f"beside.of_{task['who']}"), task["task"])
    if task["task"] == "step":  # nothing but the work: the whole process is timed from outside
        return {**function(task), "memory": memory()}
    import torch

    torch.manual_seed(task["seed"])
    result: dict[str, Any] = {}
    with _probed(result):
        result.update(function(task))
    return {**result, "memory": memory(), "threads": torch.get_num_threads()}


def main() -> None:
    """Reads the task, does it and writes the result."""
    task = json.loads(sys.argv[1])
    found = run(task)
    part = Path(sys.argv[2] + ".part")
    part.write_text(json.dumps(found))
    os.replace(part, sys.argv[2])


if __name__ == "__main__":
    main()
