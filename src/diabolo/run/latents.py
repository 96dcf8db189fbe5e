"""What encoding returns, and how each latent element is used.

Shapes: n rows, D latent elements of all groups together.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Data
from ..model import LatentModel
from ..noise import MEAN

__all__ = ["Codes", "Latents"]

ROWS = 500  # rows encoded at once
MOST = 10_000  # rows from which the statistics are taken


class Codes(NamedTuple):
    """What a posterior knows of z.

    Attributes:
        mean: (n, D).
        variance: (n, D); 0 for deterministic codes, NaN where there is no closed form.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


class Latents(NamedTuple):
    """How each latent element is used, over the validation data.

    Attributes:
        rate: The mean rate in nats, (D,); NaN where it does not split over elements.
        mean: The mean of the code, (D,); of a discrete element the value that is most often the
            most probable one.
        scale: The standard deviation of z under the aggregate posterior, (D,); NaN for a discrete
            element, whose numbers are names.
        activity: The variance of the posterior mean over data, (D,); NaN likewise.
    """

    rate: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    activity: NDArray[np.float64]

    @property
    def by(self) -> Literal["rate", "spread"]:
        """What puts elements in order: their rate, or where one is not known the activity."""
        return "spread" if np.isnan(self.rate).any() else "rate"

    @property
    def order(self) -> list[int]:
        """The elements by rate, largest first; by activity where a rate is not known."""
        key = self.rate if self.by == "rate" else self.activity
        return [int(i) for i in np.argsort(-key, kind="stable")]

    @classmethod
    @torch.no_grad()
    def of(cls, model: LatentModel, data: Data) -> Latents:
        """Returns the statistics of a model's latents over (at most 10,000) data."""
        device = next(model.parameters()).device
        rates: list[Tensor] = []
        means: list[Tensor] = []
        variances: list[Tensor] = []
        for batch in data.take(torch.arange(min(len(data), MOST))).to(device).batches(ROWS):
            c = model.given(batch.c)
            draws = model(batch.x, c, mask=batch.mask, noise=MEAN).draws
            mean, variance = model.encode(batch.x, c, mask=batch.mask)
            rate = [
                torch.full_like(d.z[0], torch.nan)
                if model.deterministic or d.rate_elements is None
                else d.rate_elements[0]
                for d in draws
            ]
            rates.append(torch.cat([r.flatten(1) for r in rate], dim=1).double().cpu())
            means.append(mean.double().cpu())
            variances.append(variance.nan_to_num(0.0).double().cpu())
        mean, variance = torch.cat(means), torch.cat(variances)
        names = torch.tensor(model.levels) > 0
        activity = mean.var(0, correction=0).masked_fill(names, torch.nan)
        return cls(
            torch.cat(rates).mean(0).numpy(),
            torch.where(names, mean.mode(0).values, mean.mean(0)).numpy(),
            (activity + variance.mean(0)).sqrt().numpy(),
            activity.numpy(),
        )
