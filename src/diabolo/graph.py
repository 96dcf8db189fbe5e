"""Functions of tensors as one compiled graph, for what training and evaluation repeat most.

A function is traced once, with tensors that have no values, down to torch's primitive operations,
and Inductor makes one program of them. Its random numbers are torch's own, drawn in the order of
the eager function, so the two differ by rounding only.

On a GPU the graph's kernels are then started together, as one CUDA graph (`Replay`): to start them
one by one takes longer than what most of them do.

On a processor that is not Intel's, products of float32 matrices become convolutions of width 1,
which oneDNN computes up to twice as fast as MKL its products; on Intel's MKL is the faster one.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from .errors import lacks_memory

__all__ = ["NoGraph", "Replay", "compiler", "copies", "graph_of"]

WIDE = 64  # inputs and outputs from which a convolution is faster than a product


class NoGraph(Exception):
    """The function cannot be made one graph; its text says why."""


def compiler() -> str | None:
    """Returns the C++ compiler that Inductor would call, or None if there is none."""
    return shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")


def graph_of(
    function: Callable[..., Tensor], given: tuple[Any, ...], what: str
) -> tuple[Callable[..., Tensor], Tensor]:
    """Returns a compiled graph of a function, and what it returns for what is given.

    Arguments:
        function: Takes tensors, None, and lists, tuples and dicts of them. It may change them in
            place. All later calls must be alike in shapes, types and strides: it is not checked.
        given: For the first call.
        what: What the function is, for the message.

    Raises:
        NoGraph: If it cannot be traced (a value decides what comes next, say) or compiled; then
            nothing was changed.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    def plain(*parts: Any) -> Tensor:  # a method's object would count as an argument
        with _Convolved():
            return function(*parts)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = make_fx(plain, tracing_mode="fake")(*given)
    except Exception as error:  # whatever a network's own code raises on values it cannot see
        raise NoGraph(f"{what} cannot be traced ({_said(error)})") from error
    graph = torch.compile(module, fullgraph=True, dynamic=False, options=_options())
    quiet = logging.getLogger("torch._inductor")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return graph, graph(*given)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError) as error:
        if lacks_memory(error):
            raise
        raise NoGraph(f"{what} cannot be compiled ({_said(error)})") from error
    finally:
        quiet.setLevel(level)


class Replay:
    """A graph of `graph_of` on a GPU as one CUDA graph, with the same values.

    Arguments:
        graph: Takes `kept` and `moving`, and was called before.
        kept: What lies in the same memory in each call, and may be changed in place.
        moving: What is given anew in each call, alike in shapes, types and strides.

    Raises:
        RuntimeError: If the GPU cannot record it; then nothing was changed.
    """

    def __init__(
        self, graph: Callable[..., Tensor], kept: tuple[Any, ...], moving: tuple[Any, ...]
    ) -> None:
        state = torch.cuda.get_rng_state()
        self.moving = copies(moving)
        self.recorded = torch.cuda.CUDAGraph()
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries set themselves up, on copies
                graph(*copies(kept), *self.moving)
            torch.cuda.current_stream().wait_stream(aside)
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(self.recorded, capture_error_mode="thread_local"):
                self.found = graph(*kept, *self.moving)
        finally:
            torch.cuda.set_rng_state(state)

    def __call__(self, *moving: Any) -> Tensor:
        """Returns what the graph does for what is given anew."""
        for old, new in zip(tree_leaves(self.moving), tree_leaves(moving), strict=True):
            if isinstance(old, Tensor):
                old.copy_(new, non_blocking=True)
        self.recorded.replay()
        return self.found.clone()


def copies(values: Any) -> Any:
    """Returns nested tensors anew, with their strides; all else is as it was."""

    def copied(value: Any) -> Any:
        return value.clone() if isinstance(value, Tensor) else value

    return tree_map(copied, values)


def _options() -> dict[str, Any]:
    return {
        "cpp_wrapper": not torch.cuda.is_available(),
        "fallback_random": True,  # the eager function's numbers
        # Shapes and types are the same in each call, and checking them takes a tenth of a step.
        "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
    }


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


class _Convolved(TorchDispatchMode):
    """Products of float32 matrices as convolutions of width 1, where MKL is slower."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if not kwargs:
            if func is torch.ops.aten.mm.default and _is_wide(*args):
                return _product(*args)
            if func is torch.ops.aten.addmm.default and _is_wide(*args[1:]):
                return _product(*args[1:]) + args[0]
        return func(*args, **(kwargs or {}))


def _is_wide(a: Tensor, b: Tensor) -> bool:
    return (
        a.device.type == "cpu"
        and a.dtype == torch.float32
        and min(*a.shape, *b.shape) >= WIDE
        and not intel()
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkl.is_available()
    )


@cache
def intel() -> bool:
    """Whether this processor is Intel's, on which MKL's own products are the faster ones.

    It is asked and not timed: a choice by the clock would move bits from one start to the next.
    """
    try:
        told = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:  # not Linux
        told = platform.processor()
    return "GenuineIntel" in told


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The product of a (N, I) and b (I, O): N pixels of one image with I channels.

    Rows are the pixels' channels as they lie in memory ("channels last"), so that nothing is
    copied; strides are given, as those of axes of size 1 would be taken for another layout.
    """
    (n, i), o = a.shape, b.shape[1]
    image = a.contiguous().as_strided((1, i, 1, n), (n * i, 1, n * i, i))
    kernel = b.t().contiguous().as_strided((o, i, 1, 1), (i, 1, i, i))
    return F.conv2d(image, kernel).permute(0, 2, 3, 1).reshape(n, o)
