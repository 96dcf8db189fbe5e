"""Training data whose labels are hidden but for a few, as if nobody had labelled them.

Shapes: N data, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..config import DataConfig
from ..errors import DiaboloError
from ..noise import mix_seed
from .data import Splits

__all__ = ["hide"]


def hide(splits: Splits, config: DataConfig) -> Splits:
    """Returns splits whose training part has `config.labelled` labels of each class, if a number.

    They are drawn by the seed, and those of a larger number begin with those of a smaller one.
    The other parts keep their labels, of which training and selection see nothing.

    Raises:
        DiaboloError: If the number is not positive, or a class has fewer.
    """
    count, data = config.labelled, splits.train
    if isinstance(count, str):
        return splits
    if count < 1:
        raise DiaboloError(f"data.labelled is all, some or a positive number, not {count}.")
    assert data.c is not None
    generator = torch.Generator().manual_seed(mix_seed(config.seed, 6))
    order = torch.randperm(len(data), generator=generator)
    kept = torch.zeros(len(data), dtype=torch.bool)
    for member in data.c.T:
        rows = order[member[order] > 0]
        if len(rows) < count:
            raise DiaboloError(
                f"data.labelled={count} asks for more labels than the {len(rows)} that a class "
                "has in the training data: ask for fewer."
            )
        kept[rows[:count]] = True
    labels = None if data.labels is None else torch.where(kept, data.labels, -1)
    c = torch.where(kept[:, None], data.c, 0.0)
    return splits._replace(train=replace(data, c=c, labels=labels))
