"""From stored values to the x that a model sees: scaled, drawn as bits, or dequantised.

A decoder is a frozen, callable value: `decoder(stored, index, noise)`. Training passes fresh
noise; evaluation passes noise keyed by row, so that a datum is the same bits in every pass.

Shapes: B batch, E event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..noise import MEAN, Noise

__all__ = ["AsFloat", "Binarize", "Decoder", "Dequantize", "Expected", "Scale", "Threshold"]


class Decoder:
    """Turns stored values (B, *E) into floats.

    Attributes:
        variance: The variance that the noise of decoding adds to each element of real x.
        random: Whether x is a draw.
    """

    variance: ClassVar[float] = 0.0
    random: ClassVar[bool] = False

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns x (B, *E)."""
        raise NotImplementedError

    def mean(self, stored: Tensor) -> Tensor:
        """Returns the expectation of x over the noise, (B, *E)."""
        return self(stored, MEAN)


@dataclass(frozen=True)
class AsFloat(Decoder):
    """Values as they are: real, binary, counts or codes."""

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns the values as floats."""
        return stored.to(torch.get_default_dtype()) if not stored.is_floating_point() else stored


@dataclass(frozen=True)
class Scale(Decoder):
    """Grey levels j as j / (levels - 1).

    Arguments:
        levels: The number of grey levels.
    """

    levels: int = 256

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns values in [0, 1]."""
        return stored.to(torch.get_default_dtype()) / (self.levels - 1)


@dataclass(frozen=True)
class Binarize(Decoder):
    """Bits drawn with the grey value in [0, 1] as the probability of a one.

    Arguments:
        inner: What turns stored values into grey values.
    """

    random: ClassVar[bool] = True

    inner: Decoder

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns bits, as floats."""
        return noise.bits(self.inner(stored, noise))

    def mean(self, stored: Tensor) -> Tensor:
        """Returns the grey values."""
        return self.inner.mean(stored)


@dataclass(frozen=True)
class Threshold(Decoder):
    """Bits that say whether the grey value exceeds one half.

    Arguments:
        inner: What turns stored values into grey values.
    """

    inner: Decoder

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns bits, as floats."""
        grey = self.inner(stored, noise)
        return (grey > 0.5).to(grey.dtype)


@dataclass(frozen=True)
class Dequantize(Decoder):
    """Levels j as j + u with u uniform in [0, 1): real x, in units of one level.

    A density p of x bounds the probability of j from below: log P(j) >= E log p(j + u)
    (Theis, van den Oord & Bethge, 2016, section 3.1).
    """

    variance: ClassVar[float] = 1 / 12
    random: ClassVar[bool] = True

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns real values in [0, levels)."""
        x = stored.to(torch.get_default_dtype())
        return x + noise.uniform(tuple(x.shape), x)


@dataclass(frozen=True)
class Expected(Decoder):
    """What another decoder draws x from: its expectation, as grey values are of their bits.

    Arguments:
        inner: The other decoder.
    """

    inner: Decoder

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns the expectation."""
        return self.inner.mean(stored)
