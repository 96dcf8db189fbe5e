"""Shapes that broadcast together."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["broadcast_shapes"]


def broadcast_shapes(*shapes: torch.Size) -> torch.Size:
    """Returns `torch.broadcast_shapes`, which loads SymPy when it is first called: half a second.

    Raises:
        ValueError: If the shapes do not broadcast (with traced sizes, torch's RuntimeError).
    """
    if all(type(n) is int for shape in shapes for n in shape):
        return torch.Size(np.broadcast_shapes(*shapes))
    return torch.broadcast_shapes(*shapes)  # sizes of a graph that is traced
