"""Operations that ONNX has no counterpart of, written in those that it has.

Matrices of a posterior are as wide as its latent, so that a loop over columns is written out.

Shapes: * leading axes, n rows of a square matrix, m columns of a right side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["COUNTERPARTS"]


def hypot(a: Tensor, b: Tensor) -> Tensor:
    """Returns what torch.hypot does, but for numbers beyond 1e19."""
    return (a * a + b * b).sqrt()


def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """Returns softplus of float64, which ONNX has and its runtime has not."""
    if x.dtype != torch.float64:
        return NotImplemented
    return (x.clamp(min=0) * beta + (-(x * beta).abs()).exp().log1p()) / beta


def cholesky(a: Tensor, *, upper: bool = False) -> Tensor:
    """Returns the factor of positive matrices, (*, n, n), column by column."""
    columns: list[Tensor] = []
    rest = a
    for j in range(a.shape[-1]):
        column = rest[..., 0] / rest[..., :1, 0].sqrt()
        columns.append(F.pad(column, (j, 0)))
        rest = rest[..., 1:, 1:] - column[..., 1:, None] * column[..., None, 1:]
    low = torch.stack(columns, -1)
    return low.mT if upper else low


def solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Returns x (*, n, m) with a x = b, or x a = b where a is on the right, row by row."""
    if not left:
        return solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular).mT
    n = a.shape[-1]
    found: list[Tensor] = []
    for i in range(n - 1, -1, -1) if upper else range(n):
        row = b[..., i, :]
        row = row if unitriangular else row / a[..., i, i, None]
        found.append(row)
        b = b - a[..., i, None] * row[..., None, :]
    return torch.stack(found[::-1] if upper else found, -2)


COUNTERPARTS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.hypot.default: hypot,
    torch.ops.aten.softplus.default: softplus,
    torch.ops.aten.linalg_cholesky.default: cholesky,
    torch.ops.aten.linalg_solve_triangular.default: solve_triangular,
}
