"""Several processes as one: who am I, how many are we, and what one knows told to all.

The processes are those of `torch.distributed`, and `torchrun` or `diabolo fit --devices` starts
them. Where it is not initialised there is one process, and every function here is the identity.

A call that all processes are to make together is marked *together* below: one that makes it alone
waits for the others without end. `alone()` is for the work of a single one.

Shapes: none of its own.

References:
    | Environment variable initialization, https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .errors import DiaboloError

__all__ = [
    "WHOLE",
    "Agreed",
    "Share",
    "agree",
    "alone",
    "barrier",
    "batch_gather",
    "batch_mean",
    "batch_place",
    "batch_sum",
    "count",
    "first",
    "gather",
    "gathered",
    "in_turn",
    "joined",
    "launch",
    "lead",
    "local",
    "one_batch",
    "part",
    "rank",
    "restarts",
    "several",
    "share",
    "total",
]

T = TypeVar("T")
_groups = itertools.count()
_alone: list[bool] = []
_batches: list[bool] = []
WAIT = timedelta(minutes=30)  # one process may read data, or write a checkpoint, for long


class Agreed(DiaboloError):
    """A mistake that one process found and that all of them raise."""


def several() -> bool:
    """Whether there are several processes that work together at this moment."""
    return (
        not _alone and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    )


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if several() else 0


def count() -> int:
    """Returns how many processes there are."""
    return dist.get_world_size() if several() else 1


def lead() -> bool:
    """Whether this process writes, prints and decides for all."""
    return rank() == 0


def local() -> int:
    """Returns the number of this process among those of its machine, which names its device."""
    return int(os.environ.get("LOCAL_RANK", "0")) if several() else 0


def restarts() -> int:
    """Returns how often the elastic agent has started the processes anew."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def launch() -> str | None:
    """Returns the name that the elastic agent gave to this launch; None without an agent."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that `torchrun` started, for a while; the one place that does so.

    Inside another `joined`, or where the user has joined them already, or where there is one
    process, it does nothing. CPU tensors go by gloo, those of NVIDIA's devices by NCCL.

    Raises:
        DiaboloError: If the environment names several processes, but not where they meet.
    """
    asked = os.environ.get("WORLD_SIZE", "1")
    if not dist.is_available() or dist.is_initialized() or asked in ("", "1"):
        yield
        return
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise DiaboloError(
            f"WORLD_SIZE={asked} in the environment means {asked} processes, but {missing[0]} is "
            "not set: start them with torchrun, or unset WORLD_SIZE."
        )
    from torch.distributed.rendezvous import rendezvous

    here = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available() and here < torch.cuda.device_count():
        torch.cuda.set_device(here)  # the one that seeds and NCCL mean
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    store, number, size = next(iter(rendezvous("env://", timeout=WAIT)))
    # A name for each start and time: an earlier group's keys name addresses nobody listens at. Only
    # an agent's own store outlives a start, and agents of several hosts count theirs differently.
    start = restarts() if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else 0
    store = dist.PrefixStore(f"diabolo{start}.{next(_groups)}", store)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if nccl else "gloo",
        store=store,
        rank=number,
        world_size=size,
        timeout=WAIT,
    )
    try:
        yield
        barrier()  # one that has gone takes away what the others still speak through
    except DiaboloError as error:
        if number and not isinstance(error, Agreed):
            error.add_note(f"(Process {number}.)")  # the others do not know of it
        raise
    finally:
        gc.collect()  # what speaks through the group must not outlive it
        dist.destroy_process_group()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Makes this process work as if there were no others, for a while."""
    _alone.append(True)
    try:
        yield
    finally:
        _alone.pop()


def barrier() -> None:
    """Waits until every process is here (together)."""
    gathered(None)


def gathered(value: T) -> list[T]:
    """Returns what every process has, by its number (together); values are pickled."""
    if not several():
        return [value]
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, value)
    return found


def first(call: Callable[[], T]) -> T:
    """Returns what the first process finds, to all (together); the others do not call.

    Raises:
        DiaboloError: In every process, if the first one raises it.
    """
    if not several():
        return call()
    box: list[Any] = [None, None]
    error: DiaboloError | None = None
    if lead():
        try:
            box[0] = call()
        except DiaboloError as found:
            error = found
            box[1] = str(found)
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise Agreed(box[1]) from error
    return box[0]


@contextlib.contextmanager
def agree() -> Iterator[None]:
    """Makes all processes raise a `DiaboloError` that one of them raises inside (together).

    What is inside must not work together itself.
    """
    error: DiaboloError | None = None
    try:
        yield
    except DiaboloError as found:
        if not several():
            raise
        error = found
    told = next((t for t in gathered(None if error is None else str(error)) if t is not None), None)
    if told is not None:
        raise Agreed(told) from error


def in_turn(call: Callable[[], T]) -> T:
    """Calls in the first process of each machine, then in its others (together).

    So one downloads or builds a cache, and the others find it.

    Raises:
        DiaboloError: In every process, if one raises it.
    """
    found: list[T] = []
    for turn in (True, False) if several() else (True,):
        with agree():
            if (local() == 0) == turn:
                found.append(call())
    return found[0]


def gather(t: Tensor, size: int, dim: int = 0) -> Tensor:
    """Returns the parts of all processes, one after the other along an axis (together).

    Arguments:
        t: This process's part; each may have another length.
        size: The length of all parts together. A part that has it is the whole already.
        dim: The axis.
    """
    if not several() or t.shape[dim] == size:
        return t
    return torch.cat(gathered(t.cpu()), dim=dim).to(t.device)


def total(t: Tensor) -> Tensor:
    """Returns the sum of a tensor over processes, the same bits in each (together)."""
    if not several():
        return t
    out = t.clone()
    dist.all_reduce(out)
    return out


class Share(NamedTuple):
    """Which part of each batch a process takes.

    Attributes:
        rank: The number of the process.
        count: The number of processes.
    """

    rank: int = 0
    count: int = 1

    def of(self, n: int) -> slice:
        """Returns this process's part of n; parts differ by one at most."""
        return slice(self.rank * n // self.count, (self.rank + 1) * n // self.count)


WHOLE = Share()


def share() -> Share:
    """Returns which part of each batch is this process's."""
    return Share(rank(), count())


def part(n: int) -> slice:
    """Returns which of n pieces of work are this process's; all of them where that is too few.

    Every process has one piece at least, or every process has all.
    """
    return share().of(n) if n >= count() else slice(0, n)


@contextlib.contextmanager
def one_batch() -> Iterator[None]:
    """Says that the processes hold parts of one batch, for the functions `batch_...`."""
    _batches.append(True)
    try:
        yield
    finally:
        _batches.pop()


def batch_sum(t: Tensor) -> Tensor:
    """Returns the sum over the parts of a batch, with its gradient, of what each process has.

    Inside `one_batch` all processes call it together; elsewhere a part is the whole.
    """
    return _Total.apply(t) if _batches and several() else t


def batch_mean(t: Tensor, dim: int | None = None) -> Tensor:
    """Returns the mean over an axis of which each process has a part, or over all elements.

    It is that of the whole batch, with its gradient, inside `one_batch` (together).
    """
    if not _batches or not several():
        return t.mean() if dim is None else t.mean(dim)
    number = t.numel() if dim is None else t.shape[dim]
    part = t.sum() if dim is None else t.sum(dim)
    return batch_sum(part) / total(torch.tensor(number, dtype=t.dtype, device=t.device))


def batch_place(n: int, like: Tensor) -> tuple[int, int]:
    """Returns where this process's n data begin in the whole batch, and how many that has.

    Inside `one_batch` all processes call it together; elsewhere a part is the whole.

    Arguments:
        n: The number of data at hand.
        like: A tensor on the device through which processes speak.
    """
    if not _batches or not several():
        return 0, n
    mine = torch.zeros(count(), dtype=torch.int64, device=like.device)
    mine[rank()] = n
    lengths = total(mine).tolist()
    return sum(lengths[: rank()]), sum(lengths)


def batch_gather(t: Tensor, dim: int = 0) -> Tensor:
    """Returns the whole batch along an axis of which each process has a part, with its gradient.

    Inside `one_batch` all processes call it together; elsewhere a part is the whole. Parts are
    laid side by side by adding them up, each with zeros where the others stand.
    """
    if not _batches or not several():
        return t
    n, dim = t.shape[dim], dim % t.ndim
    start, size = batch_place(n, t)
    return batch_sum(F.pad(t, [0, 0] * (t.ndim - 1 - dim) + [start, size - start - n]))


class _Total(torch.autograd.Function):
    """The sum over processes; each one's gradient is the sum of what all make of it."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return total(args[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())
