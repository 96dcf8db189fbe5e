r"""The angle between a von Mises-Fisher direction and its mean, by one quadrature.

.. math::
    p(\theta) = \frac{e^{-\kappa (1 - \cos\theta)} \sin^{D - 2}\theta}{T(\kappa)}, \qquad
    T(\kappa) = e^{-\kappa} \sqrt\pi \, \Gamma(v + \tfrac12) \, (2 / \kappa)^v I_v(\kappa),
    \qquad v = \tfrac{D}{2} - 1

Normaliser, moments, distribution function and their derivatives by the concentration come from the
same nodes, so that they agree with one another. No Bessel function is evaluated, hence none
overflows, and nothing loops until the data are content.

Shapes: `*` any batch, S samples, N cells, J nodes of a cell, M = N * J.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["Angle", "versine"]

CELLS, NODES = 16, 8  # log T is off by less than 1e-11 for any D up to 4096 and any kappa
REACH = 8.5  # standard deviations on either side of the mode: e^-36 of the peak
STEPS = 3  # towards the inverse, before the one that carries gradients: 1e-12 of a width
EDGE = {torch.float32: 1e-6, torch.float64: 1e-12}  # mass of a tail that rounding would blur

_points, _weights = np.polynomial.legendre.leggauss(NODES)
POINTS, LOG_WEIGHTS = ((_points + 1) / 2).tolist(), np.log(_weights / 2).tolist()


class Angle:
    r"""The density of the angle, 0 to pi, for concentrations (*, 1) on the sphere of R^D.

    The nodes lie in equal cells about the mode m, at which the log-density has the second
    derivative :math:`-s^{-2} = -((D - 2)^2 + 4 \kappa^2)^{1/2}`. Below m the density falls faster
    than this says; above, not faster than in half the chord, :math:`\sin(\theta / 2)`, with 2 s^2.

    Arguments:
        concentration: kappa, not negative, (*, 1).
        size: The number D of dimensions, at least 2.

    Attributes:
        log_total: log T(kappa), (*, 1).
        angles: The nodes, (*, M).
        mass: The part of the mass that each node stands for, (*, M).
    """

    def __init__(self, concentration: Tensor, size: int) -> None:
        self.concentration, self.power = concentration, size - 2
        kappa = concentration.detach()
        root = torch.hypot(2 * kappa, torch.full_like(kappa, self.power)).clamp(min=1e-3)
        # 1 - cos m, without cancellation at large kappa.
        away = self.power * (1 + self.power / (root + 2 * kappa)) / (self.power + root)
        mode = 2 * (away / (2 - away)).sqrt().atan()
        reach = REACH * root.rsqrt()
        chord = (mode / 2).sin() + reach / math.sqrt(2)
        self.low, self.whole = (mode - reach).clamp(min=0.0), chord >= 1
        self.width = (2 * chord.clamp(max=1.0).asin() - self.low) / CELLS
        like = {"dtype": kappa.dtype, "device": kappa.device}
        self.points = torch.tensor(POINTS, **like)
        self.log_weights = torch.tensor(LOG_WEIGHTS, **like)
        self.place = torch.arange(CELLS, **like)
        self.angles = self.low + self.width * (self.place[:, None] + self.points).flatten()
        logits = self._log(self.angles) + self.width.log() + self.log_weights.repeat(CELLS)
        self.log_total = logits.logsumexp(-1, keepdim=True)
        self.mass = logits.softmax(-1)

    def expect(self, values: Tensor) -> Tensor:
        """Returns the mean of a function of the angle, (*, 1), from its values at the nodes."""
        return (self.mass * values).sum(-1, keepdim=True)

    def inverse(self, u: Tensor) -> Tensor:
        """Returns the angles (*S, *, 1) below which lies the mass u.

        The gradient by kappa is that of the inverse, - (dF / dkappa) / p: that of a step of
        Newton's method which begins where the method has ended.
        """
        each = self.mass.unflatten(-1, (CELLS, NODES)).sum(-1)  # (*, N)
        below = each.cumsum(-1)
        u = u.clamp(EDGE[u.dtype], 1 - EDGE[u.dtype]) * below[..., -1:]
        with torch.no_grad():
            cell = (u >= below[..., :-1]).sum(-1, keepdim=True)  # (*S, *, 1)
            start = self.low + self.width * cell
            own = torch.where(self.place == cell, each, 0.0).sum(-1, keepdim=True)
        lacking = u - torch.where(self.place < cell, each, 0.0).sum(-1, keepdim=True)
        with torch.no_grad():
            angle = self._guess(cell, start, (lacking / own).clamp(0.0, 1.0))
            for _ in range(STEPS):
                angle = self._closer(angle, start, lacking)
        over = self._within(start, angle) - lacking
        return angle - over / (self._log(angle) - self.log_total).exp()

    def _guess(self, cell: Tensor, start: Tensor, part: Tensor) -> Tensor:
        """The angle at a part of a cell's mass, were its density even, or a power at a pole."""
        root = 1 / (self.power + 1)
        first = (cell == 0) & (self.low == 0)
        last = (cell == CELLS - 1) & self.whole
        part = torch.where(first, part**root, torch.where(last, 1 - (1 - part) ** root, part))
        return start + self.width * part

    def _closer(self, angle: Tensor, start: Tensor, lacking: Tensor) -> Tensor:
        """A step to where the mass since `start` is what is lacking, within the cell.

        It follows the exponential that has the density's value and slope at the angle, not, as
        Newton's method, a constant.
        """
        density = (self._log(angle) - self.log_total).exp()
        ahead = (lacking - self._within(start, angle)) / density
        slope = -self.concentration * angle.sin()
        if self.power:
            slope = slope + self.power / angle.tan()
        bend = (slope * ahead).clamp(min=-0.999)
        straight = bend.abs() < 1e-3
        share = torch.where(straight, 1 - bend / 2, bend.log1p() / torch.where(straight, 1, bend))
        edge = 1e-6 * self.width  # at a pole itself there is no density to divide by
        low, high = start + edge, start + self.width - edge
        return torch.minimum(torch.maximum(angle + ahead * share, low), high)

    def _within(self, start: Tensor, angle: Tensor) -> Tensor:
        """The mass between two angles (*S, *, 1) of one cell."""
        span = angle - start
        logits = self._log(start + span * self.points) + self.log_weights - self.log_total
        return logits.exp().sum(-1, keepdim=True) * span

    def _log(self, angle: Tensor) -> Tensor:
        """The log-density of angles (*S, *, .), but for log T."""
        value = -self.concentration * versine(angle)
        return value + self.power * angle.sin().log() if self.power else value


def versine(angle: Tensor) -> Tensor:
    """Returns 1 - cos, without cancellation at small angles."""
    return 2 * (angle / 2).sin().square()
