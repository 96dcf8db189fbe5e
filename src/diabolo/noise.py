"""Where random numbers come from: fresh in training, keyed by row in evaluation.

Fresh noise is torch's own generator, which the training loop seeds with (seed, step). Keyed noise
is a function of (seed, row index, draw, call, element) and of nothing else, so that batch size,
chunking and a larger k change nothing that was already drawn. It is SplitMix64 with one stream a
row, in integer tensors, hence the same bits on every device, and the Box-Muller transform, in
float32, whose rounding differs by some 1e-7 from device to device.

Shapes: K posterior samples, B batch, E event.

References:
    | Fast Splittable Pseudorandom Number Generators (Steele, Lea & Flood, 2014)
    | https://doi.org/10.1145/2660193.2660195
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["FRESH", "MEAN", "FreshNoise", "KeyedNoise", "Noise", "Sliced", "mix_seed", "seed_fresh"]

_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLY_1 = 0xBF58476D1CE4E5B9
_MULTIPLY_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1
BLOCK = 1 << 17  # numbers of 8 bytes that are worked on at once on a CPU


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def mix_seed(*parts: int) -> int:
    """Returns one 63-bit seed out of several integers; close inputs give unrelated outputs."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) * _GAMMA + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * _MULTIPLY_1) & _MASK
        state = ((state ^ (state >> 27)) * _MULTIPLY_2) & _MASK
        state ^= state >> 31
    return state >> 1


def seed_fresh(seed: int, device: torch.device) -> None:
    """Seeds torch's generators of the CPU and of a device.

    `torch.manual_seed` looks at every kind of device, which takes a tenth of a small step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _shift(x: Tensor, by: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> by).bitwise_and_((1 << (64 - by)) - 1)


def _scramble(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)).mul_(_signed(_MULTIPLY_1))
    x = x.bitwise_xor_(_shift(x, 27)).mul_(_signed(_MULTIPLY_2))
    return x.bitwise_xor_(_shift(x, 31))


class Noise:
    """Standard random numbers of a given shape, fresh from torch's generator."""

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns standard normal numbers of `like`'s type and device."""
        return torch.randn(shape, dtype=like.dtype, device=like.device)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns uniform numbers in [0, 1) of `like`'s type and device."""
        return torch.rand(shape, dtype=like.dtype, device=like.device)

    def bits(self, probability: Tensor) -> Tensor:
        """Returns independent bits, ones with these probabilities, as floats of their type."""
        uniform = self.uniform(tuple(probability.shape), probability)
        return torch.lt(uniform, probability, out=uniform)


class FreshNoise(Noise):
    """Fresh noise whose bits are cheap on a CPU, where `torch.rand` costs as much as a network.

    References:
        | SFC64 (Doty-Humphrey, 2010), in PractRand
        | https://pracrand.sourceforge.net/RNG_engines.txt
    """

    def words(self, shape: tuple[int, ...]) -> Tensor:
        """Returns 16 random bits an element, int16, on the CPU.

        One number of torch's generator seeds them all, so that they are a function of its state.
        """
        seed = int(torch.empty((), dtype=torch.int64).random_())
        n = math.prod(shape)
        words = np.random.SFC64(seed).random_raw(-(-n // 4)).view(np.int16)
        return torch.from_numpy(words)[:n].view(shape)

    def bits(self, probability: Tensor) -> Tensor:
        """Returns independent bits, ones with these probabilities, as floats of their type.

        On a CPU a probability p counts as round(65536 p) / 65536: 0 and 1 are exact, and no other
        is off by more than 2^-17.
        """
        if probability.device.type != "cpu":
            return super().bits(probability)
        words = self.words(tuple(probability.shape)).to(probability.dtype)
        # (words + 32768.5) / 65536 < p for words from -32768 to 32767, in one pass
        above = torch.sub(probability, words, alpha=2.0**-16, out=words)
        return torch.gt(above, 0.5 + 2.0**-17, out=above)


class Sliced(FreshNoise):
    """A part of the fresh noise of a whole batch: what one process would draw for these data.

    Arguments:
        part: Which data of the batch are at hand.
        size: The number of data of the whole batch.
        lead: Leading axes of the shapes asked for: 2 for (K, B, *E), 1 for (B, *E).
    """

    def __init__(self, part: slice, size: int, *, lead: int = 2) -> None:
        self.part, self.size, self.lead = part, size, lead

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = self.lead - 1
        if shape[axis] != self.part.stop - self.part.start:
            raise ValueError(f"Noise for {self.part} of {self.size} data was asked for {shape}.")
        return (*shape[:axis], self.size, *shape[axis + 1 :])

    def _mine(self, whole: Tensor) -> Tensor:
        return whole[self.part] if self.lead == 1 else whole[:, self.part]

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns this part of the whole batch's numbers."""
        return self._mine(super().normal(self._whole(shape), like))

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns this part of the whole batch's numbers."""
        return self._mine(super().uniform(self._whole(shape), like))

    def words(self, shape: tuple[int, ...]) -> Tensor:
        """Returns this part of the whole batch's bits."""
        return self._mine(super().words(self._whole(shape)))


class MeanNoise(Noise):
    """No noise: the centre of each distribution, so that codes are a function of x."""

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns zeros."""
        return like.new_zeros(shape)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns halves."""
        return like.new_full(shape, 0.5)


class Bits(NamedTuple):
    """64 random bits for each number of the draws from `first` up to `last`."""

    first: int
    last: int
    bits: Tensor


class KeyedNoise(Noise):
    """Noise that belongs to rows: the same for a row in whatever batch or chunk it is asked.

    Each call is a site of its own, in the order of the calls, which a model must not vary.

    Arguments:
        seed: The seed of the evaluation.
        index: The row index of each datum, (B,), int64.
        start: How many draws of each row came before, for chunks over k.
        lead: Leading axes of the shapes asked for: 2 for (K, B, *E), 1 for (B, *E).
    """

    def __init__(self, seed: int, index: Tensor, *, start: int = 0, lead: int = 2) -> None:
        self.seed, self.index, self.start, self.lead = seed, index, start, lead
        self.site = 0

    def _bits(self, shape: tuple[int, ...], n: int, device: torch.device) -> Iterator[Bits]:
        """Yields 64 random bits for each of n numbers a row and draw, in blocks of draws.

        Blocks that stay in the processor's cache make large requests twice as fast.
        """
        k = shape[0] if self.lead == 2 else 1
        self.site += 1
        index = self.index.to(device)
        if shape[self.lead - 1] != len(index):
            raise ValueError(f"Keyed noise for {len(index)} rows was asked for shape {shape}.")
        key = _scramble(index * _signed(_GAMMA) + mix_seed(self.seed, self.site))  # (B,)
        step = max(1, BLOCK // max(1, len(index) * n)) if device.type == "cpu" else max(1, k)
        for first in range(0, k, step):
            last = min(first + step, k)
            counter = torch.arange((self.start + first) * n, (self.start + last) * n, device=device)
            counter = counter.mul_(_signed(_GAMMA)).view(last - first, 1, n)
            yield Bits(first, last, _scramble(key[None, :, None] + counter))

    def _empty(self, shape: tuple[int, ...], n: int, device: torch.device) -> Tensor:
        k = shape[0] if self.lead == 2 else 1
        return torch.empty((k, len(self.index), n), dtype=torch.float32, device=device)

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns standard normal numbers, the same for every type up to its precision."""
        size = math.prod(shape[self.lead :])
        pairs = (size + 1) // 2
        out = self._empty(shape, 2 * pairs, like.device)
        for first, last, bits in self._bits(shape, pairs, like.device):
            radius = _shift(bits, 32).to(torch.float32).add_(0.5).mul_(2.0**-32).log_()
            # Rounding may bring the uniform number to 1, whose logarithm must not be positive.
            radius = radius.mul_(-2.0).clamp_(min=0.0).sqrt_()
            angle = bits.bitwise_and_(0xFFFFFFFF).to(torch.float32).mul_(2.0**-32 * 2 * math.pi)
            block = out[first:last]
            torch.mul(radius, angle.cos(), out=block[..., 0::2])
            torch.mul(radius, angle.sin_(), out=block[..., 1::2])
        return out[..., :size].reshape(shape).to(like.dtype)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns uniform numbers in (0, 1), 23 bits each."""
        size = math.prod(shape[self.lead :])
        out = self._empty(shape, size, like.device)
        for first, last, bits in self._bits(shape, size, like.device):
            out[first:last] = _shift(bits, 41)
        return out.add_(0.5).mul_(2.0**-23).reshape(shape).to(like.dtype)


FRESH = FreshNoise()
MEAN = MeanNoise()
