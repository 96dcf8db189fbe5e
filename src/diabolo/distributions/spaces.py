"""Where the points of a density lie, and what it takes to move among them.

A density says so (`space`), and so does a module that returns one, where it is not all of R^D;
`space_of` asks. A prior and a posterior can be compared only on one space.

Shapes: n points, D coordinates, T points of a path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DiaboloError

__all__ = ["REALS", "SPHERE", "Reals", "Space", "Sphere", "space_of"]


class Space(Protocol):
    """What is asked of a space; its text names its points."""

    def project(self, z: Tensor) -> Tensor:
        """Returns the nearest point to each of (n, D)."""
        ...

    def scaled(self, z: Tensor) -> Tensor:
        """Returns points (*, D) as a network reads them: coordinates of unit variance."""
        ...

    def check(self, z: Tensor) -> None:
        """Refuses coordinates (n, D) that have no nearest point."""
        ...

    def between(self, a: Tensor, b: Tensor, part: Tensor) -> Tensor:
        """Returns the points (T, D) at parts (T,) of the shortest path from a to b, (D,) each."""
        ...

    def put(self, z: Tensor, i: int, values: Tensor) -> Tensor:
        """Returns the points (T, D) like z (D,) whose coordinate i has the values (T,)."""
        ...


@dataclass(frozen=True)
class Reals:
    """All of R^D."""

    def __str__(self) -> str:
        return "real vectors"

    def project(self, z: Tensor) -> Tensor:
        """Returns the points as they are."""
        return z

    def scaled(self, z: Tensor) -> Tensor:
        """Returns the points as they are: a prior says what they vary by."""
        return z

    def check(self, z: Tensor) -> None:
        """Refuses none."""

    def between(self, a: Tensor, b: Tensor, part: Tensor) -> Tensor:
        """Returns points of the straight line, at an even pace."""
        part = part[:, None]
        return (1 - part) * a + part * b

    def put(self, z: Tensor, i: int, values: Tensor) -> Tensor:
        """Returns points with the others of their coordinates kept."""
        out = z.repeat(len(values), 1)
        out[:, i] = values
        return out


@dataclass(frozen=True)
class Sphere:
    """The points of R^D of length 1."""

    def __str__(self) -> str:
        return "points of the unit sphere"

    def project(self, z: Tensor) -> Tensor:
        """Returns the points divided by their lengths; the origin has no direction, and stays."""
        return F.normalize(z, dim=-1)

    def scaled(self, z: Tensor) -> Tensor:
        """Returns points of length sqrt(D): the more coordinates, the smaller each one is."""
        return z * math.sqrt(z.shape[-1])

    def check(self, z: Tensor) -> None:
        """Refuses the origin.

        Raises:
            DiaboloError: If a row is 0.
        """
        if bool((z == 0).all(-1).any()):
            raise DiaboloError("The codes of this model are directions, but one of these is 0.")

    def between(self, a: Tensor, b: Tensor, part: Tensor) -> Tensor:
        """Returns points of the great circle, at an even pace (Shoemake, 1985).

        Raises:
            DiaboloError: If the ends lie opposite one another: no path is the shortest.
        """
        a, b = self.project(a), self.project(b)
        half = torch.atan2((a - b).norm(), (a + b).norm())  # of the angle between them
        if float((2 * half).sin()) < 1e-6:
            if float(half) > 1:
                raise DiaboloError("These codes lie opposite one another: no way is the shortest.")
            return a.expand(len(part), -1)
        part = part[:, None]
        return ((2 * half * (1 - part)).sin() * a + (2 * half * part).sin() * b) / (2 * half).sin()

    def put(self, z: Tensor, i: int, values: Tensor) -> Tensor:
        """Returns points whose other coordinates keep their proportions; values end at -1 and 1."""
        values = values.clamp(-1.0, 1.0)
        rest = z.clone()
        rest[i] = 0.0
        out = (1 - values.square()).sqrt()[:, None] * self.project(rest)
        out[:, i] = values
        return self.project(out)


REALS, SPHERE = Reals(), Sphere()


def space_of(owner: object) -> Space:
    """Returns the space that a density, or a module that returns one, declares; R^D if none."""
    return getattr(owner, "space", REALS)
