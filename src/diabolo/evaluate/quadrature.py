r"""Log-likelihood by numerical integration over one or two latent elements.

.. math:: p(x) = \int p(x \mid z) \, p(z) \, dz, \qquad z = m + s \sinh t

The trapezoid rule in t takes in the whole line, most densely where the prior lies: m and s are its
mean and scale. For a smooth integrand its error falls faster than any power of the spacing h once
that is below the width of the posterior. The spacing is halved until nothing changes. A posterior
that the grid is too coarse for cannot pass for converged: while one point holds all of the
integral, each halving takes D ln 2 nats off it. What can be missed is a second mode, far narrower
than the spacing that suffices for the first.

Shapes: G points, B batch, N data, D latent elements.

References:
    | The Exponentially Convergent Trapezoidal Rule (Trefethen & Weideman, 2014)
    | https://doi.org/10.1137/130932132
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import ranks
from ..data import Batch, Data
from ..distributions import Distribution
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import KeyedNoise
from .continuous import Densities, check_continuous, densities, draws
from .estimate import Estimate, Kind
from .passes import Progress, batches, decoder_rows, dequantized, quiet, subject

__all__ = ["quadrature"]

NAME = "Quadrature"
REACH = 5.0  # of t: sinh 5 = 74 scales of the prior on each side
FIRST = {1: 256, 2: 64}  # intervals an axis of the first grid, by the number of latent elements
LAST = {1: 2**17, 2: 2**11}  # and of the last
DRAWN = 4096  # draws of the prior that tell its mean and scale
TOGETHER = 16  # data that are integrated over at once
FAR = -700.0  # nats of the prior at which its density is 0 in float64, near enough
POINTS = 64  # points of each that are decoded at once, at least


def quadrature(
    model: LatentModel,
    data: Data,
    *,
    tolerance: float = 1e-4,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Returns log p(x) of each datum as an integral over z, for any prior with a density.

    A grid is refined for each datum on its own, so that the rest of the data change nothing.

    Arguments:
        model: A model with a continuous latent of one or two elements. It computes in the type
            of its weights, which had better be float64: see `exact`.
        data: The data.
        tolerance: The greatest change in nats, of any datum, from one grid to the next.
        batch: Data that are integrated over at once; None picks a number.
        progress: Called with the part that is done, from 0 to 1.

    Returns:
        The estimate, with the change at the last refinement among its notes.

    Raises:
        DiaboloError: If the latent is another, the grid's limit is reached, or the data do not
            fit the model.
    """
    check_continuous(model, NAME)
    size = sum(model.groups)
    if size not in FIRST:
        raise DiaboloError(f"{NAME} is over 1 or 2 latent elements, but this model has {size}.")
    if not 0 < tolerance <= 0.5:
        raise DiaboloError(f"tolerance is above 0 and at most 0.5 nats, not {tolerance}.")
    rows = decoder_rows(data, next(model.parameters()).device)
    with quiet(model):
        found = [
            _settled(model, b, size, tolerance, rows).cpu()
            for b in batches(model, data, batch or TOGETHER, progress)
        ]
    value, change, points = ranks.gather(torch.cat(found, dim=1), len(data), dim=1)
    stuck = int((change >= tolerance).sum())
    if stuck:
        raise DiaboloError(
            f"{NAME} did not settle to {tolerance:g} nats for {stuck} of {len(data)} data on "
            f"{int(points.max())} points: the posterior is too narrow for a grid. Raise "
            "tolerance, or use the method 'annealed'."
        )
    note = (
        f"Halving the spacing of the grid, to {int(points.max())} points at most, changed no "
        f"datum by more than {float(change.max()):.1g} nats."
    )
    return Estimate.of(
        value,
        torch.zeros_like(value),
        k=1,
        seed=0,
        kind=Kind(
            subject(model, data),
            f"{{}}, exact to {tolerance:g} nats",
            "quadrature over z",
            dequantized(data),
        ),
        notes=(note,),
    )


def _settled(model: LatentModel, b: Batch, size: int, tolerance: float, rows: int) -> Tensor:
    """Returns log p(x), its last change and the points that took, (3, B)."""
    value = b.x.new_full((len(b.x),), math.nan, dtype=torch.float64)
    change, points = torch.full_like(value, math.inf), torch.zeros_like(value)
    left = torch.arange(len(b.x), device=value.device)
    count = FIRST[size]
    while len(left) and count <= LAST[size]:
        now = _trapezoid(model, _rows(b, left), size, count, rows)
        moved = (now - value[left]).abs()
        moved = torch.where(now == value[left], 0.0, moved)  # where p(x) is 0 on both grids
        change[left] = torch.where(moved.isnan(), math.inf, moved)
        value[left], points[left] = now, float((count + 1) ** size)
        left = (change >= tolerance).nonzero().flatten()
        count *= 2
    return torch.stack([value, change, points])


def _rows(b: Batch, rows: Tensor) -> Batch:
    """Returns some data of a batch."""
    c, mask = (None if t is None else t[rows] for t in (b.c, b.mask))
    return Batch(b.x[rows], c, mask, b.index[rows])


def _trapezoid(model: LatentModel, b: Batch, size: int, count: int, rows: int) -> Tensor:
    """Returns the logarithm of the integral on a grid of (count + 1)^D points, (B,), float64."""
    found = densities(model, b, NAME)
    loc, scale = _place(found.p)
    t = torch.linspace(-REACH, REACH, count + 1, dtype=torch.float64, device=b.x.device)
    spacing = 2 * REACH / count
    grid = torch.cartesian_prod(*[t] * size).view(-1, size)  # (G, D)
    total = b.x.new_full((len(b.x),), -math.inf, dtype=torch.float64)
    for part in grid.split(max(POINTS, rows // len(b.x))):
        z = (loc + part.sinh().to(loc)[:, None] * scale).to(b.x)  # (G, 1 or B, D)
        total = torch.logaddexp(total, _integrand(model, b, found, z, part))
    # The ends of the line, where the rule halves the weight, have none of the integral.
    return total + size * math.log(spacing) + scale.double().log().sum(-1)


def _integrand(model: LatentModel, b: Batch, found: Densities, z: Tensor, t: Tensor) -> Tensor:
    """Returns the logarithm of the sum of p(x, z) |dz / dt| over some points, (B,)."""
    if found.c is not None:
        z = z.expand(-1, len(b.x), -1)
    log_px = model.likelihood(z, found.c).log_prob(b.x, b.mask).double()
    volume = t.cosh().log().sum(-1)[:, None]
    # Far out, some decoders overflow where the prior has long been 0.
    log_p = found.p.log_prob(z).double()
    joint = torch.where(log_px.isnan() & (log_p < FAR), -math.inf, log_px + log_p)
    return (joint + volume).logsumexp(0)


def _place(p: Distribution) -> tuple[Tensor, Tensor]:
    """Returns mean and scale of a prior from draws, each (1 or B, D)."""
    batch = p.batch_shape[0] if p.batch_shape else 1
    index = torch.zeros(batch, dtype=torch.int64)  # the same noise for each datum, whoever it is
    z = draws(p, DRAWN, batch, KeyedNoise(0, index))
    return z.mean(0), z.std(0)
