"""A user's numbers to a model's and back, as tensor arithmetic: `Schema` for a graph.

What is no arithmetic (names of categories, dates) stays outside: a table comes and goes as the
numbers that `data.table` makes of it.

Shapes: B rows, S the layout of one datum as the user has it, E the event shape inside.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..data import Schema
from ..noise import Noise

__all__ = ["Reading", "Writing", "dtype_in", "users"]

Kind = Literal["value", "draw", "spread"]


def dtype_in(schema: Schema) -> torch.dtype:
    """Returns the type in which a graph takes data: bytes where grey levels are, else float32."""
    levels = schema.units == "levels" and schema.dtype == "uint8"
    return torch.uint8 if levels else torch.float32


def users(schema: Schema, x: Tensor) -> Tensor:
    """Returns values (B, *E) that are neither bits nor noisy yet as a graph takes them, (B, *S).

    A column that was never seen in training is 0.
    """
    values = torch.from_numpy(np.ascontiguousarray(schema.array(x), dtype=np.float32))
    dtype = dtype_in(schema)
    return values.nan_to_num(0.0).to(dtype)


class Reading(nn.Module):
    """From a user's numbers (B, *S) to the x (B, *E) of a model.

    Arguments:
        schema: How data are read.
    """

    kept: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema, self.decoder = schema, schema.decoder
        self.register_buffer("kept", torch.tensor(schema.kept, dtype=torch.long), persistent=False)

    def arranged(self, x: Tensor) -> Tensor:
        """Returns values, or a mask, in the layout inside, (B, *E)."""
        if self.schema.layout == "vector":
            x = x.flatten(1)
            return x[:, self.kept] if self.schema.constants else x
        if self.schema.layout == "hw":
            return x.unsqueeze(1)
        return x.permute(0, 3, 1, 2) if self.schema.layout == "hwc" else x

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """Returns x as the model sees it; bits and noise of decoding are made of `noise`."""
        x = self.arranged(x)
        if self.schema.grey is not None:  # levels as they are stored
            x = x.float()
            if self.schema.units == "grid":
                x = (x * (self.schema.grey - 1)).round()
        return self.decoder(x, noise)


class Writing(nn.Module):
    """From a model's numbers (B, *E) to those of a user, (B, *S), float32 and not rounded.

    Arguments:
        schema: How data are restored.
    """

    place: Tensor
    fixed: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        size, kept = prod(schema.shape), schema.kept
        # Where each of the user's columns comes from: of the model's, or behind them the constants.
        place = {i: at for at, i in enumerate(kept)}
        place |= {i: len(kept) + n for n, (i, _) in enumerate(schema.constants)}
        order = torch.tensor([place[i] for i in range(size)], dtype=torch.long)
        values = [torch.nan if v is None else v for _, v in schema.constants]
        self.register_buffer("place", order, persistent=False)
        self.register_buffer("fixed", torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, v: Tensor, kind: Kind) -> Tensor:
        """Returns values, draws or standard deviations in the user's units."""
        schema, v = self.schema, v.float()
        top = None if schema.grey is None else float(schema.grey - 1)
        if schema.dequantize and top is not None:  # inside, one unit is one level
            if kind == "value":
                v = (v - 0.5).clamp(0.0, top)
            elif kind == "draw":
                v = v.floor().clamp(0.0, top)
            v = v if schema.units == "levels" else v / top
        elif schema.units == "levels" and top is not None:
            v = v * top
        if schema.constants:
            fixed = 0.0 * self.fixed if kind == "spread" else self.fixed
            v = torch.cat([v, fixed.expand(v.shape[0], -1)], 1)[:, self.place]
        if schema.layout == "vector":
            return v.reshape(v.shape[0], *schema.shape)
        if schema.layout == "hw":
            return v.squeeze(1)
        return v.permute(0, 2, 3, 1) if schema.layout == "hwc" else v
