"""What a format is given, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..registry import Registry

__all__ = ["FORMATS", "NotExported", "Part", "Program"]

Arrays = Mapping[str, NDArray[np.generic]]

FORMATS = Registry("format", "diabolo.exports")


class NotExported(Exception):
    """A function of tensors that a format cannot hold; its text says what stands in the way."""


class Part(NamedTuple):
    """One function of tensors.

    Attributes:
        name: `encoder` or `decoder`.
        module: Takes the inputs in their order and returns a tuple of the outputs.
        inputs: An example of each input by its name, with the batch (of 2 or more) first.
        outputs: The names of the outputs.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]


class Program(NamedTuple):
    """A part in a format.

    Attributes:
        content: The file.
        suffix: How its name ends.
        call: Runs the file by the format's own runtime: inputs by name to outputs by name.
        version: The version of the format, by what it is called there.
    """

    content: bytes
    suffix: str
    call: Callable[[Arrays], Arrays]
    version: Mapping[str, int]
