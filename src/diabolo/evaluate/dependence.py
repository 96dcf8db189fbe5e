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
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..errors import DiaboloError
from ..jacobians import columns
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed
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
    Each sample has an order of its own, and `mc_stderr` is that of the mean over them. A datum
    takes part by its own rise and by that of whom it gives its code to, hence `data_stderr` is
    that of both together; two data do not tell it. Of several processes each does it all.

    Arguments:
        model: The model.
        data: The data, two at least.
        seed: Keys the orders and the samples.
        samples: Orders, with one posterior sample of each datum for each.
        precision: The type in which networks compute.

    Raises:
        DiaboloError: If there are fewer than two data, or they do not fit the model.
    """
    n = len(data)
    if n < 2:
        raise DiaboloError(f"Codes are exchanged among two data at least, but got {n}.")
    device = next(model.parameters()).device
    k = 1 if model.deterministic else samples
    size = max(1, decoder_rows(data, device) // (2 * samples))
    orders = torch.stack([shuffled(data, mix_seed(seed, r)) for r in range(samples)])
    # After n in its order stands whose code it takes: (K, N).
    giver = torch.empty_like(orders).scatter_(1, orders, orders.roll(-1, 1)).to(device)
    sample = torch.arange(samples, device=device)[:, None] % k
    with ranks.alone(), quiet(model), autocast(precision, device):
        codes: list[Tensor] = []
        own: list[Tensor] = []
        conditions: list[Tensor | None] = []
        for b in batches(model, data, size):
            noise = KeyedNoise(seed, b.index)
            inferred, c = model.infer(b.x, b.c, k=k, mask=b.mask, noise=noise)
            own.append(_log_px(model, inferred.code, c, b))
            codes.append(inferred.code)
            conditions.append(c)
        code = torch.cat(codes, 1)
        rise: list[Tensor] = []
        parts = zip(batches(model, data, size), conditions, giver.split(size, 1), own, strict=True)
        for b, c, at, here in parts:
            rise.append((here - _log_px(model, code[sample, at], c, b)).double().cpu())
    each = torch.cat(rise, 1)  # (K, N)
    variance = each.var(0) / samples if samples > 1 else None
    kind = f"rise of the distortion with the code of another datum{networks(precision)}"
    found = Estimate.of(each.mean(0), variance, k=samples, seed=seed, kind=kind)
    mc = None if samples < 2 else float(each.mean(1).std()) / math.sqrt(samples)
    return replace(found, mc_stderr=mc, data_stderr=_data_stderr(each, giver.cpu(), mc))


def _log_px(model: LatentModel, code: Tensor, c: Tensor | None, b: Batch) -> Tensor:
    """Returns log p(x | code), (K, B)."""
    px = model.likelihood(code, c)
    with autocast("float32", b.x.device):
        return px.log_prob(b.x, b.mask)


def _data_stderr(rise: Tensor, giver: Tensor, mc: float | None) -> float | None:
    """Returns the error of the mean rise over data and orders, from rises (K, N).

    A datum's part is what it takes and what it gives, r_n + r_m where m takes its code. In two
    orders the others are independent: the covariance is the variance of what is the datum's own.
    """
    k, n = rise.shape
    if mc is None or n < 3:
        return None
    part = rise + torch.empty_like(rise).scatter_(1, giver, rise)
    within = part.var(1).sum()
    own = (part.sum(0).var() - within) / (k * (k - 1))
    return math.sqrt(max(float(own), 0.0) / n + mc**2)
