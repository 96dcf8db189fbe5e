r"""A density for each column of data whose columns are of several kinds.

.. math:: \log p(x) = \textstyle\sum_j \log p_j(x_j)

Columns whose families are alike but for what they learn are one density of several elements, a
block: what is computed takes time by kinds of columns, not by columns.

Shapes: `*` any batch, most often (K, B); D columns, M of them in a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._named import family
from ._shapes import broadcast_shapes
from .base import Distribution, Family
from .standardized import StandardizedFamily

__all__ = ["Product", "ProductFamily"]

# What a column may hold: the first of them, where its density has several supports.
KINDS = ("real", "positive", "unit", "count", "binary", "category", "ordinal")


@dataclass(frozen=True, eq=False)
class Places:
    """Where the elements of blocks, which are laid end to end, stand among the columns.

    Arguments:
        blocks: The columns of each block.
        columns: The column that each element is, (D,), int64.
        back: The element that each column is, (D,), int64.
    """

    blocks: tuple[tuple[int, ...], ...]
    columns: Tensor
    back: Tensor

    @staticmethod
    def of(blocks: Sequence[Sequence[int]], device: torch.device | None = None) -> Places:
        """Returns the places of blocks of columns."""
        columns = torch.tensor([j for block in blocks for j in block], device=device)
        return Places(tuple(map(tuple, blocks)), columns, columns.argsort())

    @property
    def sizes(self) -> list[int]:
        """The number M of elements of each block."""
        return [len(block) for block in self.blocks]

    @property
    def plain(self) -> bool:
        """Whether the elements are the columns in their order."""
        order = [j for block in self.blocks for j in block]
        return order == sorted(order)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns what of x (*, D) belongs to each block."""
        return (x if self.plain else x.index_select(-1, self.columns)).split(self.sizes, -1)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns what belongs to blocks as one tensor (*, D)."""
        joined = torch.cat(tuple(parts), -1)
        return joined if self.plain else joined.index_select(-1, self.back)


@dataclass(frozen=True, eq=False)
class Product(Distribution):
    """Independent columns, each with a density of its own.

    Arguments:
        blocks: Densities of events (M,), of one batch shape: one density for each column, or for
            several that are alike.
        places: Which columns they are of; None where each is of one, in their order.
    """

    blocks: tuple[Distribution, ...]
    places: Places | None = None
    event_ndim = 1

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the columns."""
        return broadcast_shapes(*(p.batch_shape for p in self.blocks))

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(1, -1) if self.places is None else self.places.split(x)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns what each block has, (*, M), as one tensor (*, D)."""
        return torch.cat(tuple(parts), -1) if self.places is None else self.places.join(parts)

    def _each(self, of: Callable[[Distribution], Tensor]) -> Tensor:
        return self._joined([of(p) for p in self.blocks])

    def parts(self) -> Iterator[tuple[Distribution, tuple[int, ...]]]:
        """Yields each block and the columns it is of."""
        own = ((j,) for j in range(len(self.blocks)))
        return zip(self.blocks, own if self.places is None else self.places.blocks, strict=True)

    def pick(self, columns: Sequence[int]) -> Product:
        """Returns the density of some of the columns, in their order in the data."""
        wanted = sorted(columns)
        blocks: list[Distribution] = []
        chosen: list[list[int]] = []
        for p, own in self.parts():
            mine = [i for i, j in enumerate(own) if j in wanted]
            if mine:
                blocks.append(_elements(p, mine, len(own)))
                chosen.append([wanted.index(own[i]) for i in mine])
        device = None if self.places is None else self.places.columns.device
        return Product(tuple(blocks), Places.of(chosen, device))

    @property
    def columns(self) -> tuple[Distribution, ...]:
        """The density of each column, of events (1,)."""
        found: dict[int, Distribution] = {}
        for p, own in self.parts():
            found |= {j: _elements(p, [i], len(own)) for i, j in enumerate(own)}
        return tuple(found[j] for j in range(len(found)))

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density or log-probability of each element, in nats."""
        each = zip(self.blocks, self._split(x), strict=True)
        return self._joined([p.log_prob_elements(v) for p, v in each])

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*); each block masks its own."""
        each = self._split(x)
        masks = [None] * len(each) if mask is None else self._split(mask)
        found = [p.log_prob(v, m) for p, v, m in zip(self.blocks, each, masks, strict=True)]
        return torch.stack(found, -1).sum(-1)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples with gradients, where every column has them."""
        return self._each(lambda p: p.rsample(shape, noise))

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples without gradients."""
        return self._each(lambda p: p.sample(shape, noise))

    def kl_elements(self, other: Product) -> Tensor | None:
        """Returns KL of each element, if every column has it in closed form."""
        found = []
        for p, q in zip(self.blocks, other.blocks, strict=True):
            kl = p.kl_elements(q) if type(p) is type(q) else None
            if kl is None:
                return None
            found.append(kl)
        return self._joined(found)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._each(lambda p: p.mean)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self._each(lambda p: p.variance)

    @property
    def point(self) -> Tensor:
        """What each column shows for a datum."""
        return self._each(lambda p: p.point)


def _elements(p: Distribution, at: list[int], size: int) -> Distribution:
    """Returns the density of some of the elements of an event (size,)."""
    if at == list(range(size)):
        return p

    def some(t: Tensor, axes: int) -> Tensor:
        return t if t.ndim == 0 or t.shape[-1] == 1 else t[..., at]  # shared by the elements

    return p._changed(some, lambda d: _elements(d, at, size))


class ProductFamily(Family):
    """A density for each column of a table, in the columns' order.

    The weights are stored column by column, `columns.3.scale.raw`, however columns are joined.

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
        self.members = tuple(made)  # as they were given: what they learn is in the blocks
        self.batch_level = any(f.batch_level for f in made)
        self.gathers = all(f.gathers for f in made if f.batch_level) and self.batch_level
        alike: dict[Hashable, list[int]] = {}
        for j, f in enumerate(made):
            alike.setdefault(f.key() if f.apart and not f.batch_level else j, []).append(j)
        own = list(alike.values())
        self.blocks = nn.ModuleList(_joined([made[j] for j in block]) for block in own)
        self.widths = [f.width((1,)) for f in made]
        self.places = Places.of(own)
        # Not among the weights: they follow from the families.
        self.register_buffer("order", self.places.columns, persistent=False)
        self.register_buffer("back", self.places.back, persistent=False)
        self.register_buffer("reading", self._reading(), persistent=False)
        self.register_state_dict_post_hook(_by_column)
        self.register_load_state_dict_pre_hook(_by_block)

    def _parts(self) -> Iterator[tuple[Family, list[int]]]:
        """Yields each block and the columns it is of."""
        yield from zip(self.blocks, map(list, self.places.blocks), strict=True)  # type: ignore[misc]

    def _reading(self) -> Tensor:
        """Returns where each raw number of the blocks stands among those of the columns."""
        starts = [0, *itertools.accumulate(self.widths)]
        found = [
            # A column of fewer levels than its block reads a number that has no effect there.
            starts[j] + min(row, self.widths[j] - 1)
            for block, own in self._parts()
            for row in range(block.width((len(own),)))
            for j in own
        ]
        return torch.tensor(found)

    @property
    def stepped(self) -> Tensor | None:
        """Which columns the data's steps keep above the usual floor."""
        found = [(f.stepped, own) for f, own in self._parts()]
        if all(s is None for s, _ in found):
            return None
        out = torch.zeros(len(self.members), dtype=torch.bool)
        for s, own in found:
            if s is not None:
                out[own] = s.to(out.device)
        return out

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
                    f"Column {column} has the density {f.name}, which is for '{own}' values, but "
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
        for f, own in self._parts():
            f.prepare(
                (len(own),), *(None if known is None else known[own] for known in (step, mean))
            )

    def forget(self) -> None:
        """Forgets what the columns gathered."""
        for f, _ in self._parts():
            f.forget()

    def width(self, event: tuple[int, ...]) -> int:
        """Returns enough raw numbers an element for those of all columns, laid end to end.

        Raises:
            DiaboloError: If the data have another number of columns, or are no table.
        """
        if tuple(event) != (len(self.members),):
            raise DiaboloError(
                f"This Product has the densities of {len(self.members)} columns, but one datum has "
                f"the shape {tuple(event)}: give one density for each column of a table."
            )
        return -(-sum(self.widths) // len(self.members))

    def from_raw(self, raw: Tensor, event_ndim: int) -> Product:
        """Returns the density; raw numbers (*, width, D) are those of the columns, end to end."""
        flat = raw.flatten(-2)
        flat = flat.gather(-1, self.reading.expand(*flat.shape[:-1], -1))
        sizes = self.places.sizes
        shapes = [(f.width((m,)), m) for (f, _), m in zip(self._parts(), sizes, strict=True)]
        parts = flat.split([width * m for width, m in shapes], -1)
        blocks = tuple(
            f.from_raw(part.unflatten(-1, shape), 1)
            for (f, _), part, shape in zip(self._parts(), parts, shapes, strict=True)
        )
        return Product(blocks, Places(self.places.blocks, self.order, self.back))

    def start(self, mean: Tensor) -> Tensor:
        """Returns what the columns start with; zeros where a column says nothing."""
        flat = mean.new_zeros(self.width(tuple(mean.shape)) * len(mean))
        starts = [0, *itertools.accumulate(self.widths)]
        for f, own in self._parts():
            rows = f.start(mean[own])
            if rows is not None:
                for i, j in enumerate(own):
                    flat[starts[j] : starts[j + 1]] = rows[: self.widths[j], i]
        return flat.view(-1, len(mean))


def _joined(members: list[Family]) -> Family:
    return members[0].joined(members[1:]) if len(members) > 1 else members[0]


def _by_column(made: ProductFamily, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Gives each column its part of what its block has in a state."""
    for b, own in enumerate(made.places.blocks):
        alone = made.members[own[0]].state_dict()
        start = f"{prefix}blocks.{b}."
        for name in [n for n in state if n.startswith(start)]:
            t, rest = state.pop(name), name.removeprefix(start)
            shape = alone[rest].shape if rest in alone else (*t.shape[:-1], 1)
            for i, j in enumerate(own):
                part = t if len(own) == 1 else t.select(-1, i).view(shape)
                state[f"{prefix}columns.{j}.{rest}"] = part


def _by_block(made: ProductFamily, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives each block what its columns have in a state; what does not fit is left to torch."""
    for b, own in enumerate(made.places.blocks):
        for rest, t in made.blocks[b].state_dict().items():
            names = [f"{prefix}columns.{j}.{rest}" for j in own]
            parts = [state.pop(n) for n in names if n in state]
            if len(parts) == len(own):
                if len(own) > 1:
                    parts = [torch.stack([p.reshape(t.shape[:-1]) for p in parts], -1)]
                state[f"{prefix}blocks.{b}.{rest}"] = parts[0]


def _kind(made: Family) -> str:
    """Returns the support of a column of this family, with its levels: `category:4`."""
    if isinstance(made, StandardizedFamily):
        return "real"
    own = made.support if made.support in made.supports else None
    support = own or next((s for s in KINDS if s in made.supports), "")
    if support not in KINDS or made.given:
        raise DiaboloError(
            f"{made.name} is no density of a column by itself, so that it has no place in a "
            "Product" + (": a column given its total says nothing." if made.given else ".")
        )
    return f"{support}:{made.levels}" if support in ("category", "ordinal") else support
