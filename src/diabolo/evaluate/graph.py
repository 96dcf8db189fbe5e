"""log p(x | z) of many codes as one compiled graph: what an evaluation repeats most.

Eager mode writes the logits of a chunk to memory and reads them again for each operation of the
density. Traced down to torch's primitive operations, Inductor makes one pass of them, and chunks
may be larger. Dense layers in float32 become convolutions of width 1, which oneDNN computes: on
processors that are not Intel's they are twice as fast as MKL's matrix products.

Values differ from eager ones by rounding only.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..errors import DiaboloError
from ..model import LatentModel
from ..train.graph import compiler
from .passes import Precision, autocast

__all__ = ["Compile", "Decoding", "pays"]

Compile = Literal["auto", "on", "off"]

# Compilation takes 2 to 6 s and saves a third of the time or more. Eager mode does 1e11 to 2e11
# operations a second on two cores, so this much work takes it 15 to 30 s.
WORTH = 3e12
FEW = 10_000  # codes that are decoded in less time than it takes to count their operations
WIDE = 64  # inputs of a dense layer from which a convolution is faster


def pays(model: LatentModel, codes: int) -> bool:
    """Returns whether decoding so many codes takes far longer than compiling it, on a CPU."""
    like = next(model.parameters())
    if codes < FEW or like.device.type != "cpu":
        return False
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        c = like.new_zeros(1, model.condition) if model.condition else None
        model.decode(like.new_zeros(1, sum(model.groups)), c)
    return counter.get_total_flops() * codes >= WORTH


class Decoding(nn.Module):
    """log p(x | code, c) for one shape of chunks in a compiled graph, for others eagerly.

    Arguments:
        model: Whose likelihood.
        precision: The type in which the network computes; the density computes in float32.
        compiled: Whether to compile at all.
        needed: Whether it is an error if that cannot be done.

    Attributes:
        notes: Sentences on what was done.
    """

    def __init__(
        self, model: LatentModel, precision: Precision, *, compiled: bool, needed: bool
    ) -> None:
        super().__init__()
        self.likelihood, self.precision = model.likelihood, precision
        self.compiled, self.needed = compiled, needed
        self.graph: Callable[..., Tensor] | None = None
        self.shape: tuple[torch.Size, ...] = ()
        self.notes: list[str] = []
        self.tensors: Mapping[str, Tensor] = {}
        if compiled and compiler() is None:
            self._refuse("there is no C++ compiler (g++)")

    def forward(self, code: Tensor, c: Tensor | None, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns log p(x | code, c) of the seen entries in nats, (K, B), float64.

        Arguments:
            code: (K, B, *).
            c: (B, C), or None.
            x: (B, *E).
            mask: (B, *E), or None.
        """
        with autocast(self.precision, x.device):
            px = self.likelihood(code, c)
        with autocast("float32", x.device):  # a density is no network
            return px.log_prob(x, mask).double()

    def decode(self, code: Tensor, c: Tensor | None, x: Tensor, mask: Tensor | None) -> Tensor:
        """As `forward`, by the graph where it can be: the first call decides on its shape."""
        if not self.compiled:
            return self(code, c, x, mask)
        if self.graph is None:
            self._build(code, c, x, mask)
        graph = self.graph
        if graph is None or self.shape[1:] != (x.shape,) or len(code) > self.shape[0][0]:
            return self(code, c, x, mask)
        lacking = self.shape[0][0] - len(code)
        if lacking:
            code = torch.cat([code, code[-1:].expand(lacking, *code.shape[1:])])
        found = graph(self.tensors, code, c, x, mask)
        return found[:-lacking] if lacking else found

    def _build(self, code: Tensor, c: Tensor | None, x: Tensor, mask: Tensor | None) -> None:
        named = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        self.tensors = {n: t.detach() for n, t in named.items()}

        def log_px(tensors: Mapping[str, Tensor], *given: Tensor | None) -> Tensor:
            with _Convolved():
                return functional_call(self, dict(tensors), given)

        try:
            self.graph = _compiled(log_px, (self.tensors, code, c, x, mask))
        except _NoGraph as error:
            self._refuse(str(error))
        else:
            self.shape = (code.shape, x.shape)
            self.notes.append("The decoder was compiled, which changes numbers by rounding only.")

    def _refuse(self, why: str) -> None:
        if self.needed:
            raise DiaboloError(
                f"The decoder cannot be compiled: {why}. Use compile='auto' or 'off'."
            )
        self.compiled = False
        self.notes.append(f"The decoder was not compiled, which is slower: {why}.")


class _NoGraph(Exception):
    """The function cannot be made one graph; its text says why."""


class _Convolved(TorchFunctionMode):
    """Dense layers in float32 on a processor with MKL as convolutions of width 1."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs and _is_wide(args[0]):
            return _convolved(*args)
        return func(*args, **(kwargs or {}))


def _is_wide(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.ndim == 2
        and x.shape[1] >= WIDE
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkl.is_available()
    )


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The product of x (N, I) and a weight (O, I): N pixels of one image with I channels.

    Rows are the pixels' channels as they lie in memory ("channels last"), so that nothing is
    copied; strides are given, as those of axes of size 1 would be taken for another layout.
    """
    (n, i), o = x.shape, len(weight)
    image = x.contiguous().as_strided((1, i, 1, n), (n * i, 1, n * i, i))
    kernel = weight.contiguous().as_strided((o, i, 1, 1), (i, 1, i, i))
    return F.conv2d(image, kernel, bias).permute(0, 2, 3, 1).reshape(n, o)


def _compiled(function: Callable[..., Tensor], given: tuple[Any, ...]) -> Callable[..., Tensor]:
    """Traces a function with tensors that have no values, compiles it and runs it once."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = make_fx(function, tracing_mode="fake")(*given)
    except Exception as error:  # whatever a network's own code raises on values it cannot see
        raise _NoGraph(f"it cannot be traced ({_said(error)})") from error
    graph = torch.compile(module, fullgraph=True, dynamic=False)
    quiet = logging.getLogger("torch._inductor")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph(*given)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError) as error:
        raise _NoGraph(f"it cannot be compiled ({_said(error)})") from error
    finally:
        quiet.setLevel(level)
    return graph


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
