"""Densities and families of densities: tensors in, log-probabilities in nats out.

A `Distribution` is a density whose parameters are tensors; a `Family` makes one out of a network's
raw output. Names and sample shapes are those of `torch.distributions`, so that foreign densities
fit where these do.

Shapes: `*` any leading batch, most often (K, B); E the event shape of x.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ..ranks import batch_gather
from ._shapes import broadcast_shapes
from .spaces import REALS, Space

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Distribution", "Family", "draw", "total"]


def total(t: Tensor, ndim: int) -> Tensor:
    """Returns the sum over the last `ndim` axes."""
    return t.flatten(-ndim).sum(-1) if ndim else t


class Distribution:
    """p(x), a density over events whose elements are independent unless a class says otherwise.

    Final classes are frozen dataclasses of tensors. They give `log_prob_elements`, `rsample` (or
    `sample`, where there is no pathwise gradient), `mean` and `variance`.
    """

    event_ndim: int
    space: ClassVar[Space] = REALS
    interior: ClassVar[float] = 0.0  # a value inside the support, put where x is unseen

    def log_prob_elements(self, x: Tensor) -> Tensor:
        """Returns the log-density of each element of x, in nats, with shape (*, *E)."""
        raise DiaboloError(f"{type(self).__name__} has no density for single elements.")

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*).

        Arguments:
            x: Events (*, *E); what stands at unseen entries has no influence, NaN included.
            mask: True where an element was seen, (*, *E); None if all were.
        """
        if mask is None:
            return total(self.log_prob_elements(x), self.event_ndim)
        x = torch.where(mask, x, self.interior)
        elements = self.log_prob_elements(x)
        return total(torch.where(mask, elements, 0.0), self.event_ndim)

    def given(self, x: Tensor, mask: Tensor | None = None) -> Distribution:
        """Returns the density by which x is scored: this one, unless it takes something of x.

        Arguments:
            x: Events (*, *E), as for `log_prob`.
            mask: True where an element was seen, (*, *E); None if all were.
        """
        return self

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples (*shape, *, *E) that carry gradients to the parameters."""
        raise DiaboloError(f"{type(self).__name__} has no reparameterised samples.")

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples (*shape, *, *E) without gradients."""
        with torch.no_grad():
            return self.rsample(shape, noise)

    def rsample_and_log_prob(
        self, shape: tuple[int, ...] = (), noise: Noise = FRESH
    ) -> tuple[Tensor, Tensor]:
        """Returns samples and their log-density, at once where that is cheaper."""
        x = self.rsample(shape, noise)
        return x, self.log_prob(x)

    def kl_elements(self, other: Self) -> Tensor | None:
        """Returns KL(self || other) of each element in nats, or None without a closed form."""
        return None

    def kl_to(self, other: Distribution) -> Tensor | None:
        """Returns KL(self || other), (*) in nats, where it is no sum over elements of one type.

        None says that this density knows no closed form; the other may, by its `kl_from`.
        """
        return None

    def kl_from(self, other: Distribution) -> Tensor | None:
        """Returns KL(other || self), (*) in nats, for densities that do not know this one."""
        return None

    @property
    def batch_shape(self) -> torch.Size:
        """The shape `*` of the batch of densities that the parameters describe."""
        found = [
            v.shape[: max(0, v.ndim - self.parameter_axes(name))]
            for name, v in vars(self).items()
            if isinstance(v, Tensor)
        ]
        return broadcast_shapes(*found)

    @property
    def mean(self) -> Tensor:
        """The mean, with shape (*, *E)."""
        raise DiaboloError(f"{type(self).__name__} has no mean in closed form.")

    @property
    def variance(self) -> Tensor:
        """The variance of each element, with shape (*, *E)."""
        raise DiaboloError(f"{type(self).__name__} has no variance in closed form.")

    @property
    def point(self) -> Tensor:
        """The value to show for a datum, (*, *E): the mean, or what a class says is better."""
        return self.mean

    @property
    def parameter_ndim(self) -> int:
        """The number of axes of a parameter behind its batch axes; that of events, mostly."""
        return self.event_ndim

    def parameter_axes(self, name: str) -> int:
        """Returns `parameter_ndim`, or what a class says of this one of its parameters."""
        return self.parameter_ndim

    def detach(self) -> Self:
        """Returns the same density with gradients stopped at its parameters."""
        return self._changed(lambda t, _: t.detach(), Distribution.detach)

    def select(self, index: Tensor) -> Self:
        """Returns the densities that stand at `index` along the last batch axis.

        Arguments:
            index: Positions (*S, *), for densities of batch shape (*, M).

        Returns:
            Densities of batch shape (*S, *).
        """
        batch = self.batch_shape
        lead = broadcast_shapes(index.shape, batch[:-1])

        def pick(t: Tensor, axes: int) -> Tensor:
            if t.ndim <= axes:  # a parameter that the whole batch shares
                return t
            own = t.shape[t.ndim - axes :]
            full = t.expand(*lead, batch[-1], *own)
            at = index.expand(lead)[(..., None) + (None,) * axes]
            at = at.expand(*lead, 1, *own)
            return full.gather(len(lead), at).squeeze(len(lead))

        return self._changed(pick, lambda d: d.select(index))

    def narrow(self, start: int, stop: int) -> Self:
        """Returns the densities from `start` up to `stop` along the last batch axis."""

        def cut(t: Tensor, axes: int) -> Tensor:
            if t.ndim <= axes or t.shape[t.ndim - axes - 1] == 1:
                return t
            return t.narrow(t.ndim - axes - 1, start, stop - start)

        return self._changed(cut, lambda d: d.narrow(start, stop))

    def whole(self) -> Self:
        """Returns the densities of a whole batch, of which each process has a part (together).

        See `ranks.batch_gather`: elsewhere than in such a batch they are these densities.
        """

        def gather(t: Tensor, axes: int) -> Tensor:
            return t if t.ndim <= axes else batch_gather(t, t.ndim - axes - 1)

        return self._changed(gather, Distribution.whole)

    def _changed(
        self,
        tensors: Callable[[Tensor, int], Tensor],
        densities: Callable[[Distribution], Distribution],
    ) -> Self:
        """Returns the same density with its tensors and inner densities changed.

        Arguments:
            tensors: Takes a parameter and the number of its axes behind the batch.
            densities: Takes an inner density.
        """
        changed: dict[str, object] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                changed[f.name] = tensors(value, self.parameter_axes(f.name))
            elif isinstance(value, Distribution):
                changed[f.name] = densities(value)
            elif isinstance(value, tuple):
                changed[f.name] = tuple(map(densities, value))
        return replace(self, **changed)  # type: ignore[type-var]


def draw(p: Distribution, n: int, noise: Noise) -> Tensor:
    """Returns n samples (n, *E) of one density or, one each, of a batch of n.

    A density that is not ours draws from torch's own generator.
    """
    shape = () if p.batch_shape else (n,)
    return p.sample(shape, noise) if isinstance(p, Distribution) else p.sample(shape)


def likeness(m: nn.Module) -> Hashable:
    """Returns the type and options of a module and of those in it, and numbers not learned."""
    own = {n: v for n, v in vars(m).items() if not n.startswith("_")}
    own |= {n: v for n, v in m.named_buffers(recurse=False)}
    plain = {n: str(v.tolist()) if isinstance(v, Tensor) else repr(v) for n, v in own.items()}
    inner = [(n, c.key() if isinstance(c, Family) else likeness(c)) for n, c in m.named_children()]
    return type(m), tuple(sorted(plain.items())), tuple(inner)


class Family(nn.Module):
    """A configured likelihood: says how many raw numbers an element needs and reads them.

    Constructors take `levels`, `support` and options by keyword. A parameter that all data share
    (one learned scale, say) is an `nn.Parameter` here and has no batch axis in the density.

    Arguments:
        levels: The number of values of the data's support, where it has levels.
        support: The data's support, for a family whose density depends on it.

    Attributes:
        supports: The supports on which this is a density.
    """

    supports: frozenset[str] = frozenset()
    given: str = ""  # what of x itself x is scored given: its total, say
    flat: ClassVar[bool] = False  # whether events have one axis only
    batch_level: bool = False  # whether the density of a datum depends on the rest of its batch
    gathers: bool = False  # whether it does so over the parts of all processes, see `ranks`
    deterministic: bool = False  # whether it is a point, with no density to speak of
    apart: bool = False  # whether families of one element each can be `joined`

    def __init__(self, *, levels: int | None = None, support: str | None = None) -> None:
        super().__init__()
        self.levels, self.support = levels, support

    @property
    def name(self) -> str:
        """The name of the density."""
        return type(self).__name__.removesuffix("Family")

    @property
    def stepped(self) -> Tensor | None:
        """Which elements (E) the data's steps keep above the usual floor; None if no one is."""
        return None

    def prepare(
        self,
        event: tuple[int, ...],
        step: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> None:
        """Takes what a model knows of the data before it is built; most families need nothing.

        Arguments:
            event: The shape E of one datum.
            step: The smallest step between values of each element, E, 0 where they have none;
                None if nothing is known. No learned scale may become narrower.
            mean: The mean datum E, or None if it is not known.
        """
        return

    def forget(self) -> None:
        """Forgets what was gathered over training batches; most families gather nothing."""
        return

    def key(self) -> Hashable:
        """Returns what families must have in common to be `joined`: all but learned numbers."""
        return likeness(self)

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns one family of several elements instead of several families of one each.

        Each element keeps the density that it had, and the numbers that it learns are its own. Only
        where `apart` says that it can be done.

        Arguments:
            others: The families of the further elements, of the same `key`.
        """
        made = copy.deepcopy(self)
        for name, child in self.named_children():
            others_own = [getattr(o, name) for o in others]
            setattr(made, name, child.joined(others_own))  # type: ignore[operator]
        return made

    def width(self, event: tuple[int, ...]) -> int:
        """Returns the number of raw parameters for each element of an event."""
        raise NotImplementedError

    def from_raw(self, raw: Tensor, event_ndim: int) -> Distribution:
        """Returns the density that a network's output stands for.

        Arguments:
            raw: Unconstrained numbers (*, width, *E).
            event_ndim: The number of axes of E.
        """
        raise NotImplementedError

    def start(self, mean: Tensor) -> Tensor | None:
        """Returns raw numbers (width, *E) for a decoder's bias that match the data's mean.

        None leaves the network's own initial values.
        """
        return None
