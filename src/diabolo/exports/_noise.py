"""Random numbers as inputs of a function: what a model asks of noise, laid out row by row.

Shapes: B batch, N normal numbers and U uniform numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ..noise import Noise

__all__ = ["Asked", "Given", "Site", "fresh", "widths"]


class Site(NamedTuple):
    """One request for noise.

    Attributes:
        kind: `normal` or `uniform`.
        width: How many numbers a row takes.
    """

    kind: str
    width: int


class Asked(Noise):
    """Fresh noise that remembers what was asked of it.

    Arguments:
        rows: The number B of rows.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.sites: list[Site] = []

    def _remember(self, kind: str, shape: tuple[int, ...]) -> None:
        self.sites.append(Site(kind, prod(shape) // self.rows))

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns standard normal numbers."""
        self._remember("normal", shape)
        return super().normal(shape, like)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns uniform numbers in [0, 1)."""
        self._remember("uniform", shape)
        return super().uniform(shape, like)


class Given(Noise):
    """Noise out of given tensors, in the order in which it was asked before.

    Arguments:
        sites: What is asked for.
        numbers: Of each kind, the numbers of a row for all sites, end to end: (B, N), (B, U).
    """

    def __init__(self, sites: tuple[Site, ...], numbers: Mapping[str, Tensor]) -> None:
        self.sites, self.numbers = sites, numbers
        self.at, self.used = 0, dict.fromkeys(numbers, 0)

    def _next(self, kind: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        site = self.sites[self.at]
        assert site.kind == kind, "a model asks for noise in one order"
        start = self.used[kind]
        self.at, self.used[kind] = self.at + 1, start + site.width
        found = self.numbers[kind][:, start : start + site.width]
        return found.reshape(shape).to(like.dtype, copy=True)  # noise may be written over

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the normal numbers of this site."""
        return self._next("normal", shape, like)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the uniform numbers of this site."""
        return self._next("uniform", shape, like)


def widths(sites: tuple[Site, ...]) -> dict[str, int]:
    """Returns how many numbers of each kind a row takes; those not asked for are left out."""
    found = {k: sum(s.width for s in sites if s.kind == k) for k in ("normal", "uniform")}
    return {kind: width for kind, width in found.items() if width}


def fresh(sites: tuple[Site, ...], rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Returns random numbers for all sites, float32, by kind."""
    make = {"normal": torch.randn, "uniform": torch.rand}
    return {k: make[k](rows, w, generator=generator) for k, w in widths(sites).items()}
