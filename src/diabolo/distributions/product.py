r"""A density for each column of data whose columns are of several kinds.

.. math:: \log p(x) = \textstyle\sum_j \log p_j(x_j)

Shapes: `*` any batch, most often (K, B); D columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._named import family
from .base import Distribution, Family
from .standardized import StandardizedFamily

__all__ = ["Product", "ProductFamily"]

# What a column may hold: the first of them, where its density has several supports.
KINDS = ("real", "positive", "unit", "count", "binary", "category", "ordinal")


@dataclass(frozen=True, eq=False)
class Product(Distribution):
    """Independent columns, each with a density of its own.

    Arguments:
        columns: D densities of events (1,), of one batch shape.
    """

    columns: tuple[Distribution, ...]
    event_ndim = 1

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the columns."""
        return torch.broadcast_shapes(*(p.batch_shape for p in self.columns))

    def _joined(self, of: Callable[[Distribution], Tensor]) -> Tensor:
        """Returns what each column has, (*, 1), as one tensor (*, D)."""
        return torch.cat([of(p) for p in self.columns], -1)

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density or log-probability of each element, in nats."""
        each = x.split(1, -1)
        return torch.cat(
            [p.log_prob_elements(v) for p, v in zip(self.columns, each, strict=True)], -1
        )

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*); each column masks its own."""
        each = x.split(1, -1)
        masks = [None] * len(each) if mask is None else mask.split(1, -1)
        found = [p.log_prob(v, m) for p, v, m in zip(self.columns, each, masks, strict=True)]
        return torch.stack(found, -1).sum(-1)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples with gradients, where every column has them."""
        return self._joined(lambda p: p.rsample(shape, noise))

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples without gradients."""
        return self._joined(lambda p: p.sample(shape, noise))

    def kl_elements(self, other: Product) -> Tensor | None:
        """Returns KL of each element, if every column has it in closed form."""
        found = []
        for p, q in zip(self.columns, other.columns, strict=True):
            kl = p.kl_elements(q) if type(p) is type(q) else None
            if kl is None:
                return None
            found.append(kl)
        return torch.cat(found, -1)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._joined(lambda p: p.mean)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self._joined(lambda p: p.variance)

    @property
    def point(self) -> Tensor:
        """What each column shows for a datum."""
        return self._joined(lambda p: p.point)


class ProductFamily(Family):
    """A density for each column of a table, in the columns' order.

    Arguments:
        levels: Unused: columns have levels of their own, `Categorical(levels=4)`.
        support: Unused.
        columns: The families of the columns: names with options, or families.

    Raises:
        DiaboloError: If there is no column, or one has a family that cannot stand alone.
    """

    supports = frozenset({"mixed"})
    flat = True

    def __init__(
        self,
        *,
        levels: int | None = None,
        support: str | None = None,
        columns: tuple[str | Family, ...] = (),
    ) -> None:
        super().__init__(levels=None, support="mixed")
        several = isinstance(columns, Sequence) and not isinstance(columns, str) and len(columns)
        if not several or not all(isinstance(c, str | Family) for c in columns):
            raise DiaboloError(
                "Product needs the density of each column, as in "
                f"Product(columns=('Normal', 'Poisson')), but got {columns!r} for columns."
            )
        made = [c if isinstance(c, Family) else family(c) for c in columns]
        self.kinds = tuple(map(_kind, made))
        self.columns = nn.ModuleList(made)
        self.batch_level = any(f.batch_level for f in made)
        self.gathers = all(f.gathers for f in made if f.batch_level) and self.batch_level

    @property
    def members(self) -> list[Family]:
        """The families of the columns."""
        return list(self.columns)  # type: ignore[arg-type]

    @property
    def stepped(self) -> Tensor | None:
        """Which columns the data's steps keep above the usual floor."""
        found = [f.stepped for f in self.members]
        if all(s is None for s in found):
            return None
        return torch.cat([torch.zeros(1, dtype=torch.bool) if s is None else s for s in found])

    def check(self, kinds: tuple[str, ...], names: tuple[str, ...] = ()) -> None:
        """Refuses data whose columns are not what the densities are for.

        Arguments:
            kinds: The support of each column of the data, as in a `Spec`.
            names: The names of the columns, where they have some.

        Raises:
            DiaboloError: Naming the column, or the number of them.
        """
        self.width((len(kinds),))
        for i, (f, own, kind) in enumerate(zip(self.members, self.kinds, kinds, strict=True)):
            if kind != own and kind not in f.supports:
                column = f"'{names[i]}'" if names else str(i)
                raise DiaboloError(
                    f"Column {column} has the density {_name(f)}, which is for '{own}' values, but "
                    f"these are '{kind}': change one of them."
                )

    def standardized(self, loc: Tensor, scale: Tensor) -> ProductFamily:
        """Returns the family whose real columns are densities of (x - loc) / scale."""
        parts = zip(self.members, self.kinds, loc.split(1), scale.split(1), strict=True)
        columns = [StandardizedFamily(f, m, s) if k == "real" else f for f, k, m, s in parts]
        return ProductFamily(columns=tuple(columns))

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Hands each column its step and its mean.

        Raises:
            DiaboloError: If the data have another number of columns.
        """
        self.width(event)
        for i, f in enumerate(self.members):
            here = slice(i, i + 1)
            f.prepare(
                (1,), None if step is None else step[here], None if mean is None else mean[here]
            )

    def forget(self) -> None:
        """Forgets what the columns gathered."""
        for f in self.members:
            f.forget()

    @property
    def _widths(self) -> list[int]:
        return [f.width((1,)) for f in self.members]

    def width(self, event: tuple[int, ...]) -> int:
        """Returns enough raw numbers an element for those of all columns, laid end to end.

        Raises:
            DiaboloError: If the data have another number of columns, or are no table.
        """
        if tuple(event) != (len(self.columns),):
            raise DiaboloError(
                f"This Product has the densities of {len(self.columns)} columns, but one datum has "
                f"the shape {tuple(event)}: give one density for each column of a table."
            )
        return -(-sum(self._widths) // len(self.columns))

    def from_raw(self, raw: Tensor, event_ndim: int) -> Product:
        """Returns the density; raw numbers (*, width, D) are those of the columns, end to end."""
        flat = raw.flatten(-2)[..., : sum(self._widths)]
        each = zip(self.members, flat.split(self._widths, -1), strict=True)
        return Product(tuple(f.from_raw(r.unsqueeze(-1), 1) for f, r in each))

    def start(self, mean: Tensor) -> Tensor:
        """Returns what the columns start with; zeros where a column says nothing."""
        rows = []
        for f, width, m in zip(self.members, self._widths, mean.split(1), strict=True):
            own = f.start(m)
            rows.append(mean.new_zeros(width) if own is None else own.flatten())
        flat = torch.cat(rows)
        flat = torch.cat([flat, flat.new_zeros(-len(flat) % len(mean))])
        return flat.view(-1, len(mean))


def _kind(made: Family) -> str:
    """Returns the support of a column of this family, with its levels: `category:4`."""
    if isinstance(made, StandardizedFamily):
        return "real"
    own = made.support if made.support in made.supports else None
    support = own or next((s for s in KINDS if s in made.supports), "")
    if support not in KINDS or made.given:
        raise DiaboloError(
            f"{_name(made)} is no density of a column by itself, so that it has no place in a "
            "Product" + (": a column given its total says nothing." if made.given else ".")
        )
    return f"{support}:{made.levels}" if support in ("category", "ordinal") else support


def _name(made: Family) -> str:
    return type(made).__name__.removesuffix("Family")
