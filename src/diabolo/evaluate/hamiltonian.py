r"""Hamiltonian Monte Carlo along a path of densities of z, and the importance weight of the way.

.. math::
    f_\beta(z) = r(z) \, \big(p(x, z) / r(z)\big)^\beta, \qquad 0 \le \beta \le 1

A move at one beta keeps the normalised density of that beta as it is, so that a walk over all of
them, in either direction, has a weight whose mean is the ratio of the ends' integrals.

Shapes: K chains, B batch, D latent elements, T temperatures.

References:
    | MCMC Using Hamiltonian Dynamics (Neal, 2011), sections 5.2 and 5.3
    | https://arxiv.org/abs/1206.1901
    | Annealed Importance Sampling (Neal, 2001), https://arxiv.org/abs/physics/9803008
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..noise import Noise

__all__ = ["Path", "Point", "leapfrog", "move", "schedule", "tune", "tunings", "walk"]

TARGET = 0.8  # the part of moves to accept: above the 0.65 of many dimensions, as in few of them
# that is where the integrator is unstable (Betancourt, Byrne & Girolami, 2014, arXiv:1411.6669)
RATE = 0.1  # how far the logarithm of a step follows one move's surplus of acceptance
JITTER = 0.1  # part by which steps vary, so that no orbit closes after just so many of them
FEWEST = 200  # moves that tune the steps, however few the temperatures


class Point(NamedTuple):
    """Where the chains are, and the two densities there.

    Attributes:
        z: (K, B, D).
        base: log r(z) in nats, (K, B), float64.
        ratio: log p(x, z) - log r(z) in nats, (K, B), float64.
        d_base: The gradient of `base`, (K, B, D).
        d_ratio: The gradient of `ratio`, (K, B, D).
    """

    z: Tensor
    base: Tensor
    ratio: Tensor
    d_base: Tensor
    d_ratio: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Returns log f_beta(z) in nats, (K, B)."""
        return self.base + beta * self.ratio

    def slope(self, beta: float) -> Tensor:
        """Returns the gradient of log f_beta, (K, B, D)."""
        return self.d_base + beta * self.d_ratio

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Returns the other point for the chains that are chosen, (K, B)."""
        pairs = zip(self, other, strict=True)
        return Point(*(torch.where(chosen[(..., *[None] * (a.ndim - 2))], b, a) for a, b in pairs))


@dataclass(frozen=True)
class Path:
    """The densities from r, at 0, to p(x, z), at 1.

    Arguments:
        base: Maps z (K, B, D) to log r(z), (K, B).
        ratio: Maps z (K, B, D) to log p(x, z) - log r(z), (K, B).
    """

    base: Callable[[Tensor], Tensor]
    ratio: Callable[[Tensor], Tensor]

    def point(self, z: Tensor) -> Point:
        """Returns the densities and their gradients at z (K, B, D)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            base, ratio = self.base(z).double(), self.ratio(z).double()
            (d_base,) = torch.autograd.grad(base.sum(), z, retain_graph=True)
            (d_ratio,) = torch.autograd.grad(ratio.sum(), z)
        return Point(z.detach(), base.detach(), ratio.detach(), d_base, d_ratio)


def schedule(temperatures: int, delta: float = 4.0) -> list[float]:
    r"""Returns betas from 0 to 1, densest at both ends, (T + 1).

    .. math:: \beta_t \propto \sigma(\delta (2 t / T - 1)) - \sigma(-\delta)

    References:
        | On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda, Salakhutdinov
        | & Grosse, 2017), section 4.1, https://arxiv.org/abs/1611.04273

    Arguments:
        temperatures: The number T of steps.
        delta: How much denser the ends are.
    """
    raw = [1 / (1 + math.exp(-delta * (2 * t / temperatures - 1))) for t in range(temperatures + 1)]
    return [(s - raw[0]) / (raw[-1] - raw[0]) for s in raw]


def leapfrog(
    path: Path, point: Point, momentum: Tensor, beta: float, step: Tensor, count: int
) -> tuple[Point, Tensor]:
    """Returns where `count` steps lead: reversible, and without change of volume.

    Arguments:
        path: The densities.
        point: The start.
        momentum: (K, B, D).
        beta: Which density.
        step: The length of a step, of a shape that broadcasts to z.
        count: The number of steps, each of one gradient.
    """
    momentum = momentum + 0.5 * step * point.slope(beta)
    for left in reversed(range(count)):
        point = path.point(point.z + step * momentum)
        momentum = momentum + (1.0 if left else 0.5) * step * point.slope(beta)
    return point, momentum


def move(
    path: Path, point: Point, beta: float, step: Tensor, noise: Noise, count: int
) -> tuple[Point, Tensor]:
    """Returns the chains after one move that keeps f_beta, and how probable it was, (K, B).

    Arguments:
        path: The densities.
        point: Where the chains are.
        beta: Which density.
        step: The mean length of a leapfrog step.
        noise: Draws the momentum, and which moves are accepted.
        count: The number of leapfrog steps.
    """
    momentum = noise.normal(tuple(point.z.shape), point.z)
    apart = noise.uniform((*point.z.shape[:2], 1), point.z)
    step = step * (1 + JITTER * (2 * apart - 1))
    end, last = leapfrog(path, point, momentum, beta, step, count)
    gain = end.log_density(beta) - point.log_density(beta) + _kinetic(momentum) - _kinetic(last)
    chance = gain.clamp(max=0).exp()
    chance = torch.where(chance.isnan(), 0.0, chance)  # the integrator left for infinity
    accepted = noise.uniform(tuple(chance.shape), chance) < chance
    return point.where(accepted, end), chance


def tunings(temperatures: int) -> list[int]:
    """Returns how many moves tune the step of each beta between the first and the last, (T - 1)."""
    inner = temperatures - 1
    rounds = math.ceil(FEWEST / max(1, inner))
    first = max(rounds, FEWEST // 4)  # the first guess is poor
    return [rounds if t else first for t in range(inner)]


def tune(
    path: Path,
    point: Point,
    betas: Sequence[float],
    noise: Noise,
    count: int,
    tell: Callable[[], object] | None = None,
) -> list[Tensor]:
    """Returns a step for each beta between the first and the last, (T - 1) of (B, 1).

    They are found by a walk of its own whose moves lengthen a datum's step when they are accepted
    too often. A walk that uses them must have other noise: then they are constants to it, and its
    weights are without bias.

    Arguments:
        path: The densities.
        point: Draws of the density of the first beta.
        betas: The densities passed, (T + 1).
        noise: Draws the moves.
        count: The number of leapfrog steps of a move.
        tell: Called after each move.
    """
    log_step = point.z.std(0).amin(-1, keepdim=True).log()  # a guess from the few draws
    steps = []
    for beta, moves in zip(betas[1:-1], tunings(len(betas) - 1), strict=True):
        for _ in range(moves):
            point, chance = move(path, point, beta, log_step.exp(), noise, count)
            surplus = chance.mean(0)[:, None] - TARGET
            log_step = log_step + RATE * surplus.to(log_step)
            if tell is not None:
                tell()
        steps.append(log_step.exp())
    return steps


def walk(
    path: Path,
    point: Point,
    betas: Sequence[float],
    steps: Sequence[Tensor],
    noise: Noise,
    count: int,
    tell: Callable[[], object] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Returns the log-weight of a walk over the betas, and how often its moves were accepted.

    .. math:: \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log \frac{p(x, z_{t-1})}{r(z_{t-1})}

    From draws of the first density, w has as its mean the integral of the last density by that
    of the first. The same betas and steps in reverse order walk back.

    Arguments:
        path: The densities.
        point: Draws of the density of the first beta.
        betas: The densities passed, (T + 1).
        steps: The step of each move, (T - 1) of (B, 1).
        noise: Draws the moves.
        count: The number of leapfrog steps of a move.
        tell: Called after each temperature, T times.

    Returns:
        The log-weights (K, B), float64, and the mean probability of acceptance, (K, B), which is
        NaN if there was no move.
    """
    log_weight = (betas[1] - betas[0]) * point.ratio
    total = torch.zeros_like(log_weight)
    for t, step in enumerate(steps, 1):
        point, chance = move(path, point, betas[t], step, noise, count)
        log_weight = log_weight + (betas[t + 1] - betas[t]) * point.ratio
        total = total + chance
        if tell is not None:
            tell()
    if tell is not None:
        tell()
    return log_weight, total / len(steps) if steps else total + math.nan


def _kinetic(momentum: Tensor) -> Tensor:
    return 0.5 * momentum.double().square().sum(-1)
