"""What a network puts out, before it becomes a density whose parameters do not split by element."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import DiaboloError

__all__ = ["raw_of"]


def raw_of(net: nn.Module, x: Tensor, c: Tensor | None, count: int) -> Tensor:
    """Returns the network's `count` numbers for each datum, (B, count), in float32 at least.

    Raises:
        DiaboloError: If it has another number of them.
    """
    raw = net(x, c)
    if raw.shape[1:] != (count,):
        raise DiaboloError(
            f"This posterior's network needs {count} outputs a datum, but has "
            f"{tuple(raw.shape[1:])}."
        )
    return raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
