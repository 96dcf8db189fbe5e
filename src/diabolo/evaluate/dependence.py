r"""How much the decoder makes of the code.

.. math::
    s_j = \mathbb{E} \Big\| \frac{\partial f(z)}{\partial z_j} \Big\|_2, \qquad
    \Delta = \mathbb{E}\big[\log p(x_n \mid z_n) - \log p(x_n \mid z_m)\big]

f(z) is the mean of p(x | z), :math:`z_n \sim q(z \mid x_n)`, and m is another datum. A decoder that
ignores z has s = 0 and Delta = 0, whatever the rate says.

Shapes: K posterior samples, N data, B data of one part, D latent elements, E event shape of x.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..errors import DiaboloError
from ..jacobians import columns
from ..model import LatentModel
from ..noise import KeyedNoise
from .estimate import Estimate
from .passes import Precision, autocast, batches, decoder_rows, networks, quiet, shuffled

__all__ = ["Slopes", "exchange", "sensitivity", "slopes"]

PART = 16  # of the data that are decoded at once have a product for each element of their code


def sensitivity(model: LatentModel, data: Data, *, seed: int = 0) -> Tensor:
    """Returns how far the mean of p(x | z) moves with each latent element, (D,), float64.

    It is the length of the Jacobian's column, exactly, in units of x for a unit of z, and the mean
    over one z ~ q(z | x) of each datum; elements of all groups stand in order. A step of a discrete
    element has no length, and NaN stands for it. In a hierarchy the other groups are held; NaN
    stands for a group that the decoder reads through another one only.

    Arguments:
        model: The model.
        data: The data; it takes D products with the decoder's Jacobian for each.
        seed: Keys the codes by row.

    Raises:
        DiaboloError: If p(x | z) has no mean in closed form, or the data do not fit the model.
    """
    return slopes(model, data, seed=seed).mean


class Slopes(NamedTuple):
    """How far the mean of p(x | z) moves with each latent element, see `sensitivity`.

    Attributes:
        mean: Over the data, (D,), float64.
        data_stderr: The standard error of the test set, likewise; NaN for one datum.
    """

    mean: Tensor
    data_stderr: Tensor


def slopes(model: LatentModel, data: Data, *, seed: int = 0) -> Slopes:
    """As `sensitivity`, with the error of the mean."""
    device = next(model.parameters()).device
    found = []
    with quiet(model):
        for b in batches(model, data, max(1, decoder_rows(data, device) // PART)):
            noise = KeyedNoise(seed, b.index)
            draws = model.infer(b.x, b.c, mask=b.mask, noise=noise)[0].draws
            z = torch.cat([d.z[0].flatten(1) for d in draws], dim=1)  # (B, D)
            c = b.c

            def mean(z: Tensor, c: Tensor | None = c) -> Tensor:
                return model.decode(z, c).mean

            found.append(columns(mean, z).double().cpu())
    lengths = ranks.gather(torch.cat(found), len(data))  # (N, D)
    lengths = lengths.masked_fill(torch.tensor(model.levels) > 0, torch.nan)
    if len(model.groups) > 1 and bool((lengths > 0).any()):
        parts = lengths.split(list(model.groups), 1)
        heard = [p if bool((p > 0).any()) else torch.full_like(p, torch.nan) for p in parts]
        lengths = torch.cat(heard, 1)
    error = torch.full_like(lengths[0], torch.nan)
    if len(lengths) > 1:
        error = lengths.std(0) / math.sqrt(len(lengths))
    return Slopes(lengths.mean(0), error)


def exchange(
    model: LatentModel,
    data: Data,
    *,
    seed: int = 0,
    samples: int = 8,
    precision: Precision = "float32",
) -> Estimate:
    """Returns how much the distortion of a datum rises with the code of another one, in nats.

    Each gives its code to the next in a random order that is keyed by row, so that nobody keeps
    its own; conditions stay. It is 0 if, and but for cancellation only if, the decoder ignores z.
    Of several processes each does it all.

    Arguments:
        model: The model; a deterministic one needs but one sample.
        data: The data, two at least.
        seed: Keys the order and the samples.
        samples: Posterior samples K for each datum.
        precision: The type in which networks compute.

    Raises:
        DiaboloError: If there are fewer than two data, or they do not fit the model.
    """
    if len(data) < 2:
        raise DiaboloError(f"Codes are exchanged among two data at least, but got {len(data)}.")
    device = next(model.parameters()).device
    k = 1 if model.deterministic else samples
    size = max(1, decoder_rows(data, device) // (2 * k))
    order = shuffled(data, seed)
    data = data.take(order)
    with ranks.alone(), quiet(model), autocast(precision, device):
        found = []
        for b in batches(model, data, size):
            noise = KeyedNoise(seed, b.index)
            found.append(model.infer(b.x, b.c, k=k, mask=b.mask, noise=noise))
        other = torch.cat([i.code for i, _ in found], dim=1).roll(-1, 1).split(size, 1)
        rise = []
        for b, (mine, c), code in zip(batches(model, data, size), found, other, strict=True):
            here, there = (model.likelihood(z, c) for z in (mine.code, code))
            with autocast("float32", device):
                change = here.log_prob(b.x, b.mask) - there.log_prob(b.x, b.mask)
            rise.append(change.double().cpu())
    each = torch.cat(rise, 1)[:, order.argsort()]  # (K, N), as the data were given
    variance = each.var(0) / k if k > 1 else None
    if model.deterministic:
        variance = torch.zeros(each.shape[1], dtype=each.dtype)
    kind = f"rise of the distortion with the code of another datum{networks(precision)}"
    return Estimate.of(each.mean(0), variance, k=k, seed=seed, kind=kind)
