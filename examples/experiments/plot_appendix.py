r"""
Doersch's appendix: nothing is lost in the limit
================================================

Does it hurt that q(z|x) is normal? In one dimension, with networks of any capacity, no. Take
:math:`f = F^{-1} \circ \Phi`, so that f(z) has the distribution F, its inverse g, and

.. math:: p(x \mid z) = \mathcal{N}(f(z), \sigma^2), \qquad
    q(z \mid x) = \mathcal{N}\big(g(x), (g'(x) \, \sigma)^2\big).

As :math:`\sigma` falls, the model's density goes to the true one, and q goes to the posterior: both
errors are of order :math:`\sigma^2`. The notes say "with a q of high capacity the divergence goes
to 0": here even a normal q will do, for the decoder is chosen among many that make the same data.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn
from torch.special import log_ndtr, ndtr

import diabolo
from diabolo.data import Data
from diabolo.distributions import Normal
from diabolo.evaluate import log_likelihood
from diabolo.latents import Amortized
from diabolo.model import Conditional, LatentModel
from diabolo.noise import Noise
from diabolo.priors import PRIORS
from diabolo.views import View

lab = Experiment("appendix")
F64 = torch.float64
HALF = 0.5 * math.log(2 * math.pi)


def two_bumps(x):
    """log F of two normal bumps at -2 and 2."""
    return torch.logaddexp(log_ndtr(x + 2), log_ndtr(x - 2)) - math.log(2)


def solve(z):
    """The x with F(x) = Phi(z), by halving; by symmetry for z below 0 only."""
    goal = log_ndtr(-z.abs())
    low, high = torch.full_like(z, -120.0), torch.zeros_like(z)
    for _ in range(60):
        middle = (low + high) / 2
        above = two_bumps(middle) > goal
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return -z.sign() * (low + high) / 2


def log_bumps(x):
    away = torch.logaddexp(-0.5 * (x + 2) ** 2, -0.5 * (x - 2) ** 2)
    return away - math.log(2) - HALF


# f, F, log-density, and the points of the appendix's table.
targets = {
    "logistic": (
        lambda z: log_ndtr(z) - log_ndtr(-z),
        torch.sigmoid,
        lambda x: -x - 2 * nn.functional.softplus(-x),
        [-3.0, -1, 0, 1, 3],
    ),
    "normal": (lambda z: z, ndtr, lambda x: -0.5 * x**2 - HALF, [-2.0, -1, 0, 1, 2]),
    "two bumps": (solve, lambda x: two_bumps(x).exp(), log_bumps, [-3.0, -2, -0.5, 0, 1, 2]),
}


class Function(nn.Module):
    """A network that is a formula."""

    def __init__(self, function):
        super().__init__()
        self.function, self.idle = function, nn.Parameter(torch.zeros((), dtype=F64))

    def forward(self, x, c=None):
        return self.function(x)


class Nodes(Noise):
    """Gauss-Hermite nodes in place of noise."""

    def normal(self, shape, like):
        return nodes[:, None, None].expand(shape)


nodes, mass = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(40))
mass = mass / mass.sum()


def errors(name, sigma, points):
    """KL(q || posterior) and log p_sigma - log p of each point."""
    f, cdf, log_p, _ = targets[name]

    def q(x):
        g = torch.special.ndtri(cdf(x))
        log_slope = log_p(x) + 0.5 * g**2 + HALF  # g' = p / phi(g)
        return Normal(g, log_slope + math.log(sigma))

    prior = PRIORS.build("normal", 1, 0, posterior=Function(q), spec=None)
    family = diabolo.distributions.family(f"Normal(scale={sigma})")
    px = Conditional(Function(f), family, (1,))
    model = LatentModel(View((1,)), Amortized(Function(q), prior, 1), px).double()
    x = torch.tensor(points, dtype=F64)[:, None]
    with torch.no_grad():
        bound = (mass[:, None] * model(x, k=len(nodes), noise=Nodes()).log_weight).sum(0)
    log_px = log_likelihood(model, Data(x), method="exact(tolerance=1e-8)").per_datum
    return log_px - bound, log_px - log_p(x[:, 0])


# %%
# Bound and likelihood are the package's own: the first at Gauss-Hermite nodes in place of noise,
# the second by quadrature.

sigmas = lab.pick([0.2, 0.1, 0.05], [0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
table = {name: [errors(name, s, targets[name][3]) for s in sigmas] for name in targets}
gap = {name: [float(a.mean()) for a, _ in rows] for name, rows in table.items()}
off = {name: [float(b.abs().mean()) for _, b in rows] for name, rows in table.items()}
tenth = sigmas.index(0.1)
for name, kl, error in (
    ("logistic", 2.510e-3, 2.314e-3),
    ("normal", 9.926e-3, 6.936e-3),
    ("two bumps", 7.677e-3, 5.665e-3),
):
    near = f"within 1e-5 of {kl}"
    lab.claim("A23", f"gap of q at sigma 0.1, {name}", gap[name][tenth], near, unit="nats")
    near = f"within 1e-5 of {error}"
    lab.claim("A3", f"|log p_sigma - log p| there, {name}", off[name][tenth], near, unit="nats")

for name in targets:
    for row, what, values in (("A23", "KL", gap[name]), ("A3", "error of p", off[name])):
        slope = math.log(values[-2] / values[-1]) / math.log(sigmas[-2] / sigmas[-1])
        near = "within 0.02 of 2"
        lab.claim(row, f"log-log slope, {what}, {name}", slope, near, quick="within 0.1 of 2")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.3))
line = np.linspace(-5, 5, lab.pick(41, 161))
for s in (0.5, 0.2):
    _, apart = errors("two bumps", s, list(line))
    exact = log_bumps(torch.from_numpy(line))
    axes[0].plot(line, (exact + apart).exp(), label=rf"model, $\sigma$ = {s}")
axes[0].plot(line, exact.exp(), "k--", lw=1, label="truth")
axes[0].set(xlabel="x", ylabel="density", title="two bumps")
axes[0].legend(frameon=False, fontsize=8)
for k, name in enumerate(targets):
    axes[1].loglog(sigmas, gap[name], "o-", ms=4, color=f"C{k}", label=name)
    axes[1].loglog(sigmas, off[name], "x--", ms=5, color=f"C{k}")
axes[1].set(xlabel=r"$\sigma$", ylabel="nats", title="gap of q (line), error of p (dashed)")
axes[1].legend(frameon=False, fontsize=8)
figure.tight_layout()
lab.finish(figure)
