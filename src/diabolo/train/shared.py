"""One step of several processes: each takes its part of every batch, and all take the same step.

A process draws the noise of the whole batch and uses its part, DistributedDataParallel averages
the gradients, and the sums that are told are those of the whole batch; so the step is that of one
process, but for the order in which sums are rounded.

Shapes: B the whole batch, L latent groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import ranks
from ..config import TrainConfig
from ..data import Batch
from ..model import Recipe
from ..noise import Sliced
from .step import Measured, Step

__all__ = ["SharedStep"]


class SharedStep(Step):
    """What one step does in each of several processes.

    Arguments:
        recipe: A model, which lies on the device, an objective and k.
        config: How to train, with a precision that is settled.
        device: Where to compute.
        size: The number B of data in the whole batch.
    """

    def __init__(
        self, recipe: Recipe, config: TrainConfig, device: torch.device, size: int
    ) -> None:
        super().__init__(recipe, config, device)
        self.size, self.part = size, ranks.share().of(size)
        self.module = self._parallel(Measured(recipe))

    def _parallel(self, module: nn.Module) -> nn.Module:
        """Returns the module whose gradients are the means over the processes."""
        # Buffers are the same everywhere: what they gather, they gather over the whole batch.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 has a new word for it
            return DistributedDataParallel(module, broadcast_buffers=False)

    def __call__(self, batches: Iterable[Batch], rate: float, decay: float) -> Tensor:
        """Takes one step; see `Step`.

        Arguments:
            batches: This process's part of its batches.
            rate: The learning rate.
            decay: How much of the moving averages stays.
        """
        found: list[Tensor] = []
        noise = Sliced(self.part, self.size)
        for batch in batches:
            with self.precision(), ranks.one_batch():
                value, parts = self.module(batch, noise)
            # The mean over the processes of this is the sum over the batch.
            (-value * ranks.count()).backward()
            found.append(parts)
        parts = ranks.total(torch.stack(found))
        skipped = self._update(len(found) * self.size, rate, decay)
        return torch.cat([parts, skipped.to(parts).expand(len(parts), 1)], dim=1)
