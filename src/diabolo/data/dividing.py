"""Which rows are fitted, and which are held out to select weights.

Shapes: n rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import DataConfig
from ..errors import DiaboloError
from ..noise import mix_seed

__all__ = ["divide"]


def divide(n: int, config: DataConfig, *, apart: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the positions of n rows to fit and of those held out (none if `apart`), by the seed.

    Raises:
        DiaboloError: If nothing would be left to fit.
    """
    if not config.valid > 0:
        raise DiaboloError(f"data.valid must be positive, not {config.valid}.")
    if config.valid > 1 and config.valid != round(config.valid):
        raise DiaboloError(
            f"data.valid is a part below 1 or a whole number of rows, not {config.valid}."
        )
    if config.limit is not None and config.limit < 1:
        raise DiaboloError(f"data.limit must be positive or none, not {config.limit}.")
    if n < 2:
        raise DiaboloError(f"Expected at least two rows to learn from, but got {n}.")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(mix_seed(config.seed, 5)))
    if apart:
        return order[: config.limit].sort().values, order[:0]
    held = round(config.valid)
    if config.valid < 1:
        whole_count = n if config.limit is None else min(n, config.limit / (1 - config.valid))
        held = max(1, round(config.valid * whole_count))
    if held >= n:
        asked = f"{config.valid:g}" if config.valid < 1 else held  # 1000000, not 1e+06
        raise DiaboloError(
            f"data.valid={asked} leaves nothing to learn from of {n} rows: hold out fewer."
        )
    last = None if config.limit is None else held + config.limit
    return order[held:last].sort().values, order[:held].sort().values
