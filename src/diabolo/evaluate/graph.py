"""log p(x | z) of many codes as one compiled graph: what an evaluation repeats most.

Eager mode writes the logits of a chunk to memory and reads them again for each operation of the
density. A compiled graph makes one pass of them, and chunks may be larger.

Values differ from eager ones by rounding only.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from ..errors import DiaboloError
from ..graph import NoGraph, compiler, graph_of
from ..model import LatentModel
from .passes import Precision, autocast

__all__ = ["Compile", "Decoding", "pays"]

Compile = Literal["auto", "on", "off"]

# Compilation takes 2 to 6 s and saves a third of the time or more. Eager mode does 1e11 to 2e11
# operations a second on two cores, so this much work takes it 15 to 30 s.
WORTH = 3e12
FEW = 10_000  # codes that are decoded in less time than it takes to count their operations


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
            return functional_call(self, dict(tensors), given)

        try:
            self.graph, _ = graph_of(log_px, (self.tensors, code, c, x, mask), "it")
        except NoGraph as error:
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
