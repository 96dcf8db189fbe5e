"""What a model may know of the data: the support of one value and the shape of one datum.

Supports: `binary` {0, 1}; `byte` (levels) j / (levels - 1); `unit` [0, 1]; `real`; `positive`
(0, inf); `count` 0, 1, 2, ...; `category` and `ordinal` (levels) codes 0 .. levels - 1; `mixed`.

Shapes: E event (one datum), C width of a condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SUPPORTS", "Spec", "Support"]

Support = Literal[
    "binary", "byte", "unit", "real", "positive", "count", "category", "ordinal", "mixed"
]
SUPPORTS: tuple[Support, ...] = (
    "binary",
    "byte",
    "unit",
    "real",
    "positive",
    "count",
    "category",
    "ordinal",
    "mixed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that a recipe may know of the data; its tensors only set initial values.

    Arguments:
        event: The shape E of one datum; images are (channels, height, width).
        support: Where one value may lie.
        levels: The number of values of a `byte`, `category` or `ordinal` support.
        kinds: Of `mixed` data, the support of each column, with its levels where it has some:
            `real`, `count`, `category:4`.
        names: Of a table, the names of its columns.
        condition: The width C of the condition, 0 for none.
        unlabelled: Where the condition is one label, how many training data lack it; else None.
        count: The number of training data N.
        mean: The mean datum, in data units, with shape E.
        scale: The standard deviation of each element with shape E, where the model is to
            standardise (real data, or the real columns of mixed data); None leaves data as they
            are.
        resolution: The smallest step between the values of each element, in data units, with
            shape E; 0 where they are continuous, None where all are.
        examples: A few training data (n, *E), for pseudo-inputs; NaN where an entry is unseen.
        missing: Whether some entries are unseen, so that encoders also read the mask.
    """

    event: tuple[int, ...]
    support: Support = "real"
    levels: int | None = None
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    condition: int = 0
    unlabelled: int | None = None
    count: int = 0
    mean: Tensor | None = None
    scale: Tensor | None = None
    resolution: Tensor | None = None
    examples: Tensor | None = None
    missing: bool = False

    def __str__(self) -> str:
        levels = f"({self.levels} levels)" if self.levels else ""
        return f"{self.support}{levels} {'x'.join(map(str, self.event))}"
