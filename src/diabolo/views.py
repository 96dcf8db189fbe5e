"""What encoders read of x: codes as channels, counts on a log scale, and corruptions for training.

A view is a module with a `shape` and `forward(x, mask, noise)`; `View` is the plain one.
Unseen entries, NaN included, never reach arithmetic, so they never reach a gradient.

Shapes: B batch, E event shape of x.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .errors import DiaboloError, unknown
from .noise import FRESH, Noise
from .spec import Spec

__all__ = [
    "CORRUPTIONS",
    "Columns",
    "Corrupted",
    "Log1p",
    "OneHot",
    "View",
    "Viewing",
    "corrupted",
    "default_view",
]

CORRUPTIONS = ("gaussian", "masking", "salt_pepper")


class Viewing(Protocol):
    """What a model asks of a view.

    Attributes:
        shape: The shape of what the encoder sees of one datum.
    """

    shape: tuple[int, ...]

    def __call__(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from x (B, *E) and its mask, True where an entry was seen."""
        ...

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, (B, *shape), from the mask (B, *E).

        The rest are entries that were not seen, and what tells of the mask.
        """
        ...


class View(nn.Module):
    """What an encoder reads of x. This one: x itself, unseen entries 0, the mask if asked for.

    Arguments:
        event: The shape E of one datum.
        mask: Whether the mask is appended along the first axis of E.
        loc: Subtracted from x, of a shape that broadcasts to E.
        scale: What x is divided by after that.
    """

    loc: Tensor | None  # None where nothing was given: large data are not gone over for that
    scale: Tensor | None

    def __init__(
        self,
        event: tuple[int, ...],
        *,
        mask: bool = False,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
    ) -> None:
        super().__init__()
        self.mask = mask
        self.shape = (event[0] * (2 if mask else 1), *event[1:])
        for name, value, idle in (("loc", loc, 0.0), ("scale", scale, 1.0)):
            given = isinstance(value, Tensor) or value != idle  # a tensor may be filled later
            kept = torch.as_tensor(value, dtype=torch.get_default_dtype()) if given else None
            self.register_buffer(name, kept)

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from x (B, *E) and its mask."""
        if mask is not None:  # first: NaN times the gradient 0 of a later choice is NaN
            x = torch.where(mask, x, 0.0 if self.loc is None else self.loc)
        if self.loc is not None:
            x = x - self.loc
        if self.scale is not None:
            x = x / self.scale
        return _with_mask(x, x, mask) if self.mask else x

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, (B, *shape), from the mask (B, *E)."""
        return _values(mask, 1, self.mask)


class OneHot(nn.Module):
    """Codes 0 .. levels - 1 as channels on the first axis of E: one is 1, the others are 0.

    Between two codes it is linear, so that pseudo-inputs, which need not be whole, can be learned.
    The channels of an unseen entry are all 0.

    Arguments:
        event: The shape E of one datum.
        levels: The number of codes.
        mask: Whether the mask is appended along the first axis.
    """

    codes: Tensor

    def __init__(self, event: tuple[int, ...], levels: int, *, mask: bool = False) -> None:
        super().__init__()
        self.mask = mask
        self.shape = (event[0] * (levels + mask), *event[1:])
        codes = torch.arange(levels, dtype=torch.get_default_dtype())
        self.register_buffer("codes", codes.view(-1, *[1] * len(event)), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from codes (B, *E) and their mask."""
        if mask is not None:
            x = torch.where(mask, x, 0.0)
        hot = torch.relu(1 - (x.unsqueeze(1) - self.codes.to(x.dtype)).abs())  # (B, levels, *E)
        if mask is not None:
            hot = torch.where(mask.unsqueeze(1), hot, 0.0)
        hot = hot.flatten(1, 2)
        return _with_mask(hot, x, mask) if self.mask else hot

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, (B, *shape), from the mask (B, *E)."""
        return _values(mask, len(self.codes), self.mask)


class Log1p(nn.Module):
    """log(1 + x / unit): counts and positive numbers of any size, on one scale.

    Arguments:
        event: The shape E of one datum.
        unit: What x is measured in, of a shape that broadcasts to E.
        mask: Whether the mask is appended along the first axis.
    """

    unit: Tensor

    def __init__(
        self, event: tuple[int, ...], *, unit: Tensor | float = 1.0, mask: bool = False
    ) -> None:
        super().__init__()
        self.mask = mask
        self.shape = (event[0] * (2 if mask else 1), *event[1:])
        self.register_buffer("unit", torch.as_tensor(unit, dtype=torch.get_default_dtype()))

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from x (B, *E), not negative, and its mask."""
        if mask is not None:
            x = torch.where(mask, x, 0.0)
        seen = torch.log1p(x / self.unit)
        return _with_mask(seen, x, mask) if self.mask else seen

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, (B, *shape), from the mask (B, *E)."""
        return _values(mask, 1, self.mask)


class Corrupted(nn.Module):
    """A view of x that is spoiled in training and whole in use: for denoising autoencoders.

    `gaussian` adds normal noise; `masking` shows each entry as unseen with probability `level`;
    `salt_pepper` puts the lowest or the highest value of that element in its place, with even
    chances.

    References:
        | Stacked Denoising Autoencoders (Vincent et al., 2010), section 3.3
        | https://jmlr.org/papers/v11/vincent10a.html

    Arguments:
        view: What reads the spoiled x.
        kind: `gaussian`, `masking` or `salt_pepper`.
        level: The standard deviation of the noise in `unit`s, or the part of entries spoiled.
        unit: What Gaussian noise is measured in, of a shape that broadcasts to E.
        low: The value of pepper, of a shape that broadcasts to E.
        high: The value of salt, likewise.

    Raises:
        DiaboloError: If the kind is unknown or the level out of range.
    """

    unit: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        view: nn.Module,
        kind: str = "gaussian",
        level: float = 0.3,
        *,
        unit: Tensor | float = 1.0,
        low: Tensor | float = 0.0,
        high: Tensor | float = 1.0,
    ) -> None:
        super().__init__()
        if kind not in CORRUPTIONS:
            raise unknown("corruption", kind, CORRUPTIONS)
        if not level >= 0 or (kind != "gaussian" and level > 1):
            expected = "at least 0" if kind == "gaussian" else "a part of the entries, 0 to 1"
            raise DiaboloError(f"The level of {kind} corruption must be {expected}, not {level}.")
        self.view, self.kind, self.level = view, kind, level
        self.shape: tuple[int, ...] = tuple(view.shape)  # type: ignore[arg-type]
        for name, value in (("unit", unit), ("low", low), ("high", high)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.get_default_dtype()))

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from x (B, *E) and its mask; spoiled in training mode only."""
        if not self.training:
            return self.view(x, mask, noise)
        shape = (1, *x.shape)  # noise is asked for with axes (K, B, *E)
        if self.kind == "gaussian":
            return self.view(x + self.level * self.unit * noise.normal(shape, x)[0], mask, noise)
        u = noise.uniform(shape, x)[0]
        if self.kind == "masking":
            keep = u >= self.level
            return self.view(x, keep if mask is None else mask & keep, noise)
        extreme = torch.where(u < 0.5 * self.level, self.low, self.high).to(x.dtype)
        return self.view(torch.where(u < self.level, extreme, x), mask, noise)

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, spoiled or not, (B, *shape)."""
        return self.view.values(mask)  # type: ignore[operator]


class Columns(nn.Module):
    """What the columns of mixed data are read as, those of one kind together, end to end.

    Arguments:
        spec: What is known of the data, with the kind of each column.

    Raises:
        DiaboloError: If the kind of a column is not known.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if spec.event != (len(spec.kinds),):
            raise DiaboloError(
                f"Mixed data need the kind of each column, but there are {len(spec.kinds)} kinds "
                f"for data of shape {spec.event}."
            )
        views: list[nn.Module] = []
        for n, kind in enumerate(sorted(set(spec.kinds))):
            at = torch.tensor([i for i, k in enumerate(spec.kinds) if k == kind])
            support, _, levels = kind.partition(":")
            own = replace(
                spec,
                event=(len(at),),
                support=support,  # type: ignore[arg-type]
                levels=int(levels) if levels else None,
                kinds=(),
                mean=None if spec.mean is None else spec.mean[at],
                scale=spec.scale[at] if spec.scale is not None and kind == "real" else None,
            )
            views.append(default_view(own))
            self.register_buffer(f"at{n}", at, persistent=False)
        self.views = nn.ModuleList(views)
        self.shape = (sum(v.shape[0] for v in views),)  # type: ignore[index]

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns (B, *shape) from x (B, D) and its mask."""
        read = []
        for n, view in enumerate(self.views):
            at = self.get_buffer(f"at{n}")
            seen = None if mask is None else mask[:, at]
            read.append(view(x[:, at], seen, noise))
        return torch.cat(read, 1)

    def values(self, mask: Tensor) -> Tensor:
        """Returns where a value that was seen is read, (B, *shape), from the mask (B, D)."""
        at = (self.get_buffer(f"at{n}") for n in range(len(self.views)))
        return torch.cat([v.values(mask[:, i]) for v, i in zip(self.views, at, strict=True)], 1)  # type: ignore[operator]


def default_view(spec: Spec) -> View | OneHot | Log1p | Columns:
    """Returns what the encoder reads of data of this spec, with the mask where some are unseen.

    Categories and ordinals become channels; counts and positive numbers, unless the spec
    standardises them, go on a log scale; all else is standardised where the spec says so. Each
    column of mixed data is read as its kind is.
    """
    event, mask = spec.event, spec.missing
    if spec.support == "mixed":
        return Columns(spec)
    if spec.support in ("category", "ordinal"):
        if spec.levels is None:
            raise DiaboloError(f"Data of '{spec.support}' support need their number of levels.")
        return OneHot(event, spec.levels, mask=mask)
    if spec.scale is not None:
        loc = 0.0 if spec.mean is None else spec.mean
        return View(event, mask=mask, loc=loc, scale=spec.scale)
    if spec.support == "count":
        return Log1p(event, mask=mask)
    if spec.support == "positive":
        unit = 1.0 if spec.mean is None else torch.where(spec.mean > 0, spec.mean, 1.0)
        return Log1p(event, unit=unit, mask=mask)
    return View(event, mask=mask)


def corrupted(spec: Spec, kind: str = "gaussian", level: float = 0.3) -> Corrupted:
    """Returns the default view of data of this spec, spoiled in training.

    Gaussian noise is measured in each element's standard deviation where the spec standardises.
    Salt and pepper are the ends of the support or, where it has none, those of each element, or
    of each channel of images, among the examples.

    Arguments:
        spec: What is known of the data.
        kind: `gaussian`, `masking` or `salt_pepper`.
        level: The standard deviation of the noise, or the part of entries spoiled.

    Raises:
        DiaboloError: If the kind is unknown, the level out of range, or the data are codes, counts
            or positive numbers, which Gaussian noise would leave.
    """
    if kind == "gaussian" and spec.support in ("category", "ordinal", "count", "positive", "mixed"):
        raise DiaboloError(
            f"Gaussian corruption would leave the values of '{spec.support}' data: "
            "use 'masking' or 'salt_pepper'."
        )
    options: dict[str, Any] = {}
    if kind == "gaussian" and spec.scale is not None:
        options["unit"] = spec.scale
    if kind == "salt_pepper":
        options["low"], options["high"] = _ends(spec)
    return Corrupted(default_view(spec), kind, level, **options)


def _ends(spec: Spec) -> tuple[Tensor | float, Tensor | float]:
    """Returns the lowest and the highest value of each element, broadcasting to E."""
    if spec.support in ("binary", "byte", "unit"):
        return 0.0, 1.0
    if spec.support in ("category", "ordinal") and spec.levels is not None:
        return 0.0, spec.levels - 1.0
    if spec.examples is None or not len(spec.examples):
        raise DiaboloError(
            f"Salt and pepper need the range of '{spec.support}' data, but the spec has no "
            "examples: use 'gaussian' or 'masking'."
        )
    axes = (0, *range(2, spec.examples.ndim)) if len(spec.event) == 3 else (0,)
    seen = torch.isfinite(spec.examples)
    low = torch.where(seen, spec.examples, torch.inf).amin(axes, keepdim=True)[0]
    high = torch.where(seen, spec.examples, -torch.inf).amax(axes, keepdim=True)[0]
    some = low <= high
    return torch.where(some, low, 0.0), torch.where(some, high, 1.0)


def _with_mask(seen: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
    """Returns what was seen with the mask (B, *E) behind it."""
    flags = torch.ones_like(x) if mask is None else mask.to(x.dtype)
    return torch.cat([seen, flags], dim=1)


def _values(mask: Tensor, channels: int, appended: bool) -> Tensor:
    """Returns where seen values are read in `channels` channels of each, the mask behind or not."""
    parts = [mask] * channels + [torch.zeros_like(mask)] * appended
    return torch.cat(parts, dim=1)
