r"""Linear-Gaussian models: whether a model is one, and the best that one can be at a price.

Of all models with z of m standard normal elements, x = b + W z + noise of variance s, and data of
covariance eigenvalues lambda, -D - beta R is greatest where W takes the leading eigenvectors, with
the water level theta = beta s (reverse water-filling),

.. math:: D_j = \min(\lambda_j, \theta), \qquad R_j = \tfrac12 \ln^+(\lambda_j / \theta), \qquad
    w_j^2 = \lambda_j - \theta, \qquad \sigma_{q,j}^2 = \theta / \lambda_j

D_j being squared errors. A price of 1 gives probabilistic PCA, where the ELBO is log p(x).

Shapes: G codes, B batch, N data, D latent elements, E elements of x.

References:
    | Coding Theorems for a Discrete Source with a Fidelity Criterion (Shannon, 1959)
    | Elements of Information Theory (Cover & Thomas, 2006), theorem 10.3.3
    | Don't Blame the ELBO! (Lucas et al., 2019), https://arxiv.org/abs/1911.02469
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import Batch, Data
from ..distributions import (
    Distribution,
    MultivariateNormal,
    Normal,
    Standardized,
    StandardizedFamily,
)
from ..distributions.normal import NormalFamily
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import KeyedNoise
from .continuous import Densities, check_continuous, densities
from .passes import batches, decoder_rows, quiet

__all__ = [
    "Linear",
    "LinearOptima",
    "LinearOptimum",
    "Water",
    "linear",
    "linear_optima",
    "water_filling",
]

SCALES = (0.1, 1.0, 10.0, 100.0)  # of the z at which a decoder is asked whether it is affine
PROBES = 8  # z of each scale
ROUNDING = 1e-9  # of float64, after some thousand operations
LARGEST = 2048  # elements of x whose covariance is taken apart in seconds


class Water(NamedTuple):
    """What each direction of the data costs under a water level.

    Attributes:
        rates: R_j in nats, (E,).
        squares: D_j, its mean squared error, (E,).
        active: How many directions are told at all: the eigenvalues above the level.
    """

    rates: Tensor
    squares: Tensor
    active: int


def water_filling(eigenvalues: Tensor, level: float, units: int | None = None) -> Water:
    """Returns how a linear-Gaussian code of least cost divides its rate: reverse water-filling.

    Arguments:
        eigenvalues: Of the data's covariance, from the largest to the least, (E,).
        level: The water level theta: the price of a nat of rate times the variance of the noise.
        units: How many directions there is room for, the number of latent elements; None for all.

    Example:
        >>> rates, squares, active = water_filling(torch.tensor([4.0, 2.0, 1.0, 0.5]), 0.6)
        >>> active, squares.tolist()
        (3, [0.6..., 0.6..., 0.6..., 0.5])
    """
    room = len(eigenvalues) if units is None else units
    told = (eigenvalues > level) & (torch.arange(len(eigenvalues)) < room)
    rates = torch.where(told, 0.5 * (eigenvalues.clamp(min=level) / level).log(), 0.0)
    squares = torch.where(told, torch.full_like(eigenvalues, level), eigenvalues)
    return Water(rates, squares, int(told.sum()))


class LinearOptimum(NamedTuple):
    """The best linear-Gaussian model at a price, and how it does on the measured data.

    Attributes:
        price: The price beta of one nat of rate.
        rate: The rate on the measured data, in nats.
        distortion: -log p(x|z) on them, in nats.
        units: The active elements.
        variance: That of the noise, in units in which it has the same for all elements.
    """

    price: float
    rate: float
    distortion: float
    units: int
    variance: float

    @property
    def elbo(self) -> float:
        """The evidence lower bound."""
        return -self.rate - self.distortion


@dataclass(frozen=True, eq=False)
class LinearOptima:
    """The best linear-Gaussian models of training data, at each price of the rate.

    Arguments:
        eigenvalues: Of the training data's covariance, x divided by the scales, descending, (E,).
        moments: The mean squares of the measured data along the same directions, from the
            training data's mean, (E,); of the training data these are the eigenvalues.
        volume: The sum of the logarithms of the scales of x.
        units: The number of latent elements.
        variance: That of the noise of x divided by the scales; None where it is learned.
        least: The least variance that is learned.
    """

    eigenvalues: Tensor
    moments: Tensor
    volume: float
    units: int
    variance: float | None = None
    least: float = 0.0

    def at(self, price: float) -> LinearOptimum:
        """Returns the best model at a price of the rate, and what it scores."""
        s = self._variance(price) if self.variance is None else self.variance
        level = price * s
        rates, squares, active = water_filling(self.eigenvalues, level, self.units)
        told, most, seen = rates > 0, self.eigenvalues.clamp(min=1e-300), self.moments
        # q(z_j | x) has mean x_j sqrt(lambda_j - theta) / lambda_j and variance theta / lambda_j.
        excess = torch.where(told, (most - level) / most * (seen / most - 1), 0.0)
        left = torch.where(told, squares + (level / most) ** 2 * (seen - most), seen)
        size = len(self.eigenvalues)
        scale = 0.5 * size * math.log(2 * math.pi * s) + self.volume
        rate = float((rates + 0.5 * excess).sum())
        return LinearOptimum(price, rate, scale + float(left.sum()) / (2 * s), active, s)

    def _variance(self, price: float) -> float:
        """Returns the best variance of the noise: one of those where the bound is stationary.

        With k active elements that is the sum of the other eigenvalues over E - beta k.
        """
        size, most = len(self.eigenvalues), self.eigenvalues
        left = most.sum() - torch.cat([most.new_zeros(1), most.cumsum(0)])  # (E + 1,)
        active = [k for k in range(min(self.units, size) + 1) if size > price * k]
        found = [max(self.least, float(left[k]) / (size - price * k)) for k in active]

        def bound(s: float) -> float:
            rates, squares, _ = water_filling(most, price * s, self.units)
            cost = 0.5 * size * math.log(s) + float(squares.sum()) / (2 * s)
            return -cost - price * float(rates.sum())

        return max((s for s in [self.least, *found] if s > 0), key=bound)


def linear_optima(model: LatentModel, train: Data, data: Data) -> LinearOptima | None:
    """Returns the best models of this kind that there are for training data, scored on others.

    They are known for a decoder that is affine in z, a normal prior and posterior, and a normal
    likelihood of one fixed or one shared learned scale.

    Arguments:
        model: One of them, trained or not.
        train: What it is trained on.
        data: What it is measured on.

    Returns:
        The optima; None where they are not known: for another model, for data with entries that
        were not seen, or of more than 2048 elements.
    """
    likelihood = model.likelihood.family
    base = likelihood.base if isinstance(likelihood, StandardizedFamily) else likelihood
    unseen = train.mask is not None or data.mask is not None
    if not isinstance(base, NormalFamily) or model.condition or unseen:
        return None
    learned = base.scale.kind in ("shared", "optimal")
    if isinstance(base.scale.kind, str) and not learned:
        return None
    if isinstance(base.scale.floor, Tensor) or prod(train.event) > LARGEST:
        return None
    variance = _noise(model, train)
    if variance is None:
        return None
    # What elements differ by is a scale of x, and what is left one variance for all of them.
    shape, size = variance / variance.log().mean().exp(), 1.0
    if learned and isinstance(likelihood, StandardizedFamily):
        size = float(likelihood.scale.double().log().mean().exp()) ** 2
    mean, covariance = _moments(train, shape.sqrt())
    values, turn = torch.linalg.eigh(covariance)
    other, spread = _moments(data, shape.sqrt())
    spread = spread + torch.outer(other - mean, other - mean)
    return LinearOptima(
        eigenvalues=values.flip(0).clamp(min=0.0),
        moments=torch.einsum("ej,ef,fj->j", turn, spread, turn).flip(0),
        volume=0.5 * float(shape.log().sum()),
        units=sum(model.groups),
        variance=None if learned else float(variance.log().mean().exp()),
        least=size * base.scale.floor**2 if learned else 0.0,
    )


def _noise(model: LatentModel, data: Data) -> Tensor | None:
    """Returns the variance of a linear-Gaussian model's noise, (E,); None for another model."""
    double = copy.deepcopy(model).double().cpu()
    with quiet(double):
        b = next(batches(double, data.take(torch.arange(1)).to("cpu"), 1))
        try:
            check_continuous(double, "The theory")
            found = densities(double, b, "The theory")
        except DiaboloError:  # no such latent
            return None
        made = linear(double, found, b)
    if made is None or not isinstance(found.q, Normal | MultivariateNormal):
        return None
    return made.variance[0]


def _moments(data: Data, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean (E,) and covariance (E, E) of data divided by a scale (E,), both float64."""
    first = torch.zeros_like(scale)
    second = torch.zeros(len(scale), len(scale)).to(scale)
    start: Tensor | None = None
    for b in data.batches(decoder_rows(data, torch.device("cpu"))):
        x = b.x.flatten(1).double().cpu() / scale
        start = x.mean(0) if start is None else start  # so that little is lost to a large mean
        first += (x - start).sum(0)
        second += (x - start).T @ (x - start)
    assert start is not None
    first, second = first / len(data), second / len(data)
    return start + first, second - torch.outer(first, first)


class Linear(NamedTuple):
    """x = b + W e + noise with e standard normal, for each datum; elements of x are flat.

    Attributes:
        weight: W, (D, B, E) or (D, 1, E).
        bias: b, (B, E) or (1, E).
        variance: That of the noise, likewise.
    """

    weight: Tensor
    bias: Tensor
    variance: Tensor


def linear(model: LatentModel, found: Densities, b: Batch) -> Linear | None:
    """Returns the linear model of a batch, or None if it is no such model.

    Whether a decoder is affine is found out by its values at many z, in float64.

    Arguments:
        model: The model, in float64.
        found: Its densities for the batch.
        b: The batch.
    """
    p, c = found.p, found.c
    if not isinstance(p, Normal | MultivariateNormal):
        return None
    size = 1 if c is None else len(b.x)
    loc, factor = p.loc.expand(size, -1), p.scale_tril.expand(size, -1, -1)  # (B, D), (B, D, D)

    def decoded(e: Tensor) -> tuple[Tensor, Tensor] | None:
        """Mean and variance at z of standard normal e, (G, 1 or B, D)."""
        return _normal(model.likelihood(loc + (factor @ e[..., None])[..., 0], c))

    axes = torch.cat([torch.zeros_like(loc[:1]), torch.eye(loc.shape[1]).to(loc)])  # (D + 1, D)
    at = decoded(axes[:, None])
    if at is None:
        return None
    mean, variance = at  # (D + 1, B, E)
    made = Linear(mean[1:] - mean[0], mean[0], variance[0])
    index = torch.zeros(size, dtype=torch.int64, device=loc.device)  # the same z for each datum
    noise = KeyedNoise(0, index)
    for reach in SCALES:
        e = reach * noise.normal((PROBES, *loc.shape), loc)
        at = decoded(e)
        assert at is not None
        line = made.bias + torch.einsum("kbd,dbe->kbe", e, made.weight)
        error = ROUNDING * (at[0].abs().max() + made.bias.abs().max() + reach)
        straight = (at[0] - line).abs().max() <= error  # NaN is not
        constant = (at[1] / made.variance - 1).abs().max() <= ROUNDING
        if not bool(straight & constant):
            return None
    return made


def _normal(px: Distribution) -> tuple[Tensor, Tensor] | None:
    """Returns mean and variance of a normal density, in the data's units, each (G, B, E)."""
    if not isinstance(px.base if isinstance(px, Standardized) else px, Normal):
        return None
    return px.mean.flatten(2), px.variance.expand_as(px.mean).flatten(2)
