r"""Which columns or pixels of a datum are strange: the distortion, element by element.

.. math:: a_j(x) = \mathbb{E}_q[-\log p(x_j \mid z)], \qquad \textstyle\sum_j a_j(x) = D(x)

The sum over the seen elements is the distortion of the datum, on the same samples. Of an element
that was not seen nothing is known, NaN; a column that is left out as constant has a part of 0.

Shapes: K posterior samples, B batch, n data, E event, S the layout of one datum for the user.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Data, Schema
from ..errors import DiaboloError
from ..evaluate import Precision
from ..evaluate.passes import autocast, averages, batches, decoder_rows, quiet
from ..model import LatentModel
from ..noise import KeyedNoise

__all__ = ["arranged", "attribution"]


def attribution(
    model: LatentModel,
    data: Data,
    *,
    samples: int = 8,
    seed: int = 0,
    precision: Precision = "float32",
) -> Tensor:
    """Returns the part of each element in the distortion of its datum, (n, *E), in nats.

    It is NaN where an element was not seen.

    Arguments:
        model: The model.
        data: The data.
        samples: Posterior samples a datum; a deterministic code is one.
        seed: Keys the samples, those of `evaluate.distortion` with the same seed.
        precision: The type in which networks compute.

    Raises:
        DiaboloError: If the likelihood has no density of single elements.
    """
    device = next(model.parameters()).device
    k = 1 if model.deterministic else samples
    size = max(1, decoder_rows(data, device) // (k * (model.enumerates or 1)))
    found: list[Tensor] = []
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, size):
            noise = KeyedNoise(seed, b.index)
            inferred, c = model.infer(
                b.x, b.c, k=k, mask=b.mask, noise=noise, every=not model.deterministic
            )
            px = model.likelihood(inferred.code, c)
            with autocast("float32", device):
                try:
                    each = -px.given(b.x, b.mask).log_prob_elements(b.x)
                except DiaboloError as error:
                    raise DiaboloError(
                        f"{error} Its distortion cannot be told apart: leave attribution out."
                    ) from None
            parts = averages(model, each, inferred.log_share).double().mean(0)
            if b.mask is not None:
                parts = parts.masked_fill(~b.mask, torch.nan)
            found.append(parts.cpu())
    return torch.cat(found)


def arranged(schema: Schema, values: Tensor) -> NDArray[np.float64]:
    """Returns numbers of the elements of data (n, *E) in the user's layout, (n, *S).

    A column that is left out as constant gets 0, and NaN if none of its values was ever seen.
    """
    fill = [np.nan if value is None else 0.0 for _, value in schema.constants]
    return np.ascontiguousarray(schema.outside(values.double().cpu().numpy(), fill))
