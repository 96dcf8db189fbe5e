"""What is asked of a reader."""

from __future__ import annotations

from dataclasses import dataclass

from ...config import DataConfig

__all__ = ["Ask"]


@dataclass(frozen=True)
class Ask:
    """What is asked of a reader.

    Arguments:
        config: How to read.
        features: The columns of a table to take as data; () for all that are nothing else.
        conditions: The columns or keys to read as conditions.
    """

    config: DataConfig
    features: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
