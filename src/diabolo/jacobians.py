r"""Jacobians of functions of rows: the lengths of their rows and columns, and random products.

With J the matrix of the partial derivatives of O outputs by I inputs, one for each of B data,

.. math:: \mathbb{E}_v \big[ (J^\top v)_i^2 \big] = \sum_o J_{oi}^2
    \quad \text{if} \quad \mathbb{E}[v v^\top] = 1

so that one product with random v, at the price of one gradient, tells without bias what the exact
sums take one gradient for each output or input to find.

Shapes: B data, I inputs, O outputs, of any number of axes each.

References:
    | A Stochastic Estimator of the Trace of the Influence Matrix (Hutchinson, 1990)
    | https://doi.org/10.1080/03610919008812866
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from .noise import Noise

__all__ = ["columns", "normals", "product", "rows", "signs"]

Rows = Callable[[Tensor], Tensor]


def rows(f: Rows, x: Tensor) -> Tensor:
    """Returns the length of each output's gradient, (B, O), from x (B, *I), exactly.

    Arguments:
        f: Maps (B, *I) to (B, O), each row by itself.
        x: Where.
    """
    y, back = _pulled(f, x)
    return _lengths(back, y)


def columns(f: Rows, x: Tensor) -> Tensor:
    """Returns how far all outputs move with each input, (B, I), from x (B, I), exactly.

    Arguments:
        f: Maps (B, I) to (B, *O), each row by itself.
        x: Where.
    """
    y, back = _pulled(f, x)
    _, push = _pulled(back, torch.zeros_like(y))  # the transpose of the transpose
    return _lengths(push, x)


def product(f: Rows, x: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Returns the product of the transposed Jacobian with one vector, (B, *I).

    Arguments:
        f: Maps (B, *I) to (B, *O), each row by itself.
        x: Where, (B, *I).
        draw: Returns the vector (B, *O) for the outputs.
    """
    y, back = _pulled(f, x)
    return back(draw(y))


def signs(like: Tensor, noise: Noise) -> Tensor:
    """Returns random signs, whose products vary least."""
    return torch.where(noise.uniform((1, *like.shape), like)[0] < 0.5, -1.0, 1.0).to(like.dtype)


def normals(like: Tensor, noise: Noise) -> Tensor:
    """Returns standard normal numbers, whose products are normal: their size tells a length."""
    return noise.normal((1, *like.shape), like)[0]


def _pulled(f: Rows, x: Tensor) -> tuple[Tensor, Rows]:
    """Returns f(x), and the product with the transposed Jacobian as a function."""
    found: tuple[Any, ...] = vjp(f, x)
    return found[0], lambda v: found[1](v)[0]


def _lengths(linear: Rows, like: Tensor) -> Tensor:
    """Returns the length of what a linear map makes of each of D unit vectors, from (B, D)."""

    def row(v: Tensor) -> Tensor:
        return linear(v.expand_as(like)).flatten(1)

    one = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
    return torch.linalg.vector_norm(vmap(row)(one), dim=2).T
