r"""
The gradient through a draw
===========================

The bound is a mean over draws :math:`z \sim q_\phi(z \mid x)`, and its gradient by :math:`\phi` has
to get through the draw. Written :math:`z = \mu + \sigma \varepsilon`, a draw is a function of
:math:`\phi` and of noise that knows nothing of it: differentiation goes through.

The notes say that back-propagation takes place in sampling, and that sampling has no gradient. A
network that merely samples computes the right value and loses the gradient of the reconstruction,
so that its encoder learns nothing but the prior. But a gradient by the *score*,
:math:`\mathbb{E}[f(z) \nabla \log q(z)]`, needs no path through z: it exists, and is only noisy.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo.distributions import Normal
from diabolo.distributions.kl import kl_divergence
from diabolo.objectives import elbo
from diabolo.recipes import build

lab = Experiment("gradients")
F64 = torch.float64

# %%
# **Four against thirty.** f(z) = z^2 under N(1, 1): both have the mean 2, and Gauss-Hermite nodes
# give their variances exactly.

nodes, mass = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(20))
mass = mass / mass.sum()
q = Normal(torch.ones(20, 1, dtype=F64).requires_grad_(), torch.zeros(20, 1, dtype=F64))
z = q.loc + nodes[:, None]
(path,) = torch.autograd.grad((z**2).sum(), q.loc)
held = z.detach()
(score,) = torch.autograd.grad((held[:, 0] ** 2 * q.log_prob(held)).sum(), q.loc)
for name, g, variance in (("path", path[:, 0], 4), ("score", score[:, 0], 30)):
    mean = (mass * g).sum()
    lab.claim("A28", f"mean of the gradient by the {name}", mean, "within 1e-9 of 2")
    spread = (mass * (g - mean) ** 2).sum()
    lab.claim("A28", f"its variance, by the {name}", spread, f"within 1e-9 of {variance}")

# %%
# **One draw is enough on average.** Single-draw gradients of the bound of a linear Gaussian model,
# by the mean of q, against the formula.

W = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]], dtype=F64)
b, x = torch.tensor([0.5, -0.5, 0.0], dtype=F64), torch.tensor([1.0, 0.0, 1.0], dtype=F64)
m = torch.tensor([0.5, -0.3], dtype=F64)
n = 100_000
q = Normal(m.repeat(n, 1).requires_grad_(), torch.full((n, 2), math.log(0.4), dtype=F64))
prior = Normal(torch.zeros(2, dtype=F64), torch.zeros(2, dtype=F64))
log_half = torch.tensor(math.log(0.5), dtype=F64)
value = Normal(q.rsample() @ W.T + b, log_half).log_prob(x) - kl_divergence(q, prior)
(each,) = torch.autograd.grad(value.sum(), q.loc)
truth = W.T @ (x - b - W @ m) / 0.25 - m
error = ((each.mean(0) - truth) / (each.std(0) / math.sqrt(n))).abs().max()
lab.claim("A26", "mean of 100,000 one-draw gradients off the formula", error, "< 4", unit="stderr")

# %%
# **At the start of training** the outputs are all wrong. A deterministic output is the limit of a
# normal density whose scale goes to 0. On the way log p(X) of the same outputs falls, and its
# gradient grows, as the inverse square of the scale, both without a bound; in the limit each image
# has probability 0, and its logarithm no gradient at all. Around the same output, a normal density
# of a fixed scale says which way to go.

images = torch.rand(64, 1, 8, 8)
spec = diabolo.Spec(event=(1, 8, 8), support="unit")
model = build("vae", spec, latent=8, net="mlp(hidden=(128,))", likelihood="Normal(scale=0.1)").model
px = model(images).px
weights = list(model.likelihood.parameters())


def at_scale(s):
    """Mean log p(X) of the outputs with this scale around them, and its gradient's norm."""
    normal = Normal(px.mean.double(), torch.tensor(math.log(s), dtype=F64), 3)
    value = normal.log_prob(images.double()).mean()
    found = torch.autograd.grad(value, weights, retain_graph=True)
    return float(value.detach()), math.sqrt(sum(float(g.double().square().sum()) for g in found))


scales = (0.1, 1e-3, 1e-6, 1e-9, 1e-12)
log_p, norms = zip(*(at_scale(s) for s in scales), strict=True)
lab.claim("A12", "smallest fall of log p(X) as the scale goes 0.1, 1e-3, ... 1e-12",
          min(a - b for a, b in pairwise(log_p)), "> 1e3", unit="nats")  # fmt: skip
lab.claim("A12", "log p(X) of the outputs at scale 1e-12", log_p[-1], "< -1e20", unit="nats",
          given="-inf", changed="a limit is not reached")  # fmt: skip
lab.claim("A12", "gradient norm at scale 0.1", norms[0], "between 1 and 1e7")
lab.claim("A12", "gradient norm at scale 1e-12 / at 0.1: no finite limit", norms[-1] / norms[0],
          "> 1e20", given="0 or undefined", changed="a limit is not reached")  # fmt: skip

# %%
# **Training without the path.** The same model three times: with the path; with a draw whose
# gradient is lost; and with the score in its place, each draw judged against the others.


@dataclass(frozen=True, eq=False)
class Drawn(Normal):
    """A normal density whose draws are just numbers."""

    def rsample(self, *given):
        return super().rsample(*given).detach()

    def kl_to(self, other):
        return kl_divergence(Normal(self.loc, self.log_scale), other)


class Naive(nn.Module):
    """A posterior that merely samples."""

    def __init__(self, posterior):
        super().__init__()
        self.posterior = posterior

    def forward(self, x, c=None):
        q = self.posterior(x, c)
        return Drawn(q.loc, q.log_scale)


def plain(spec, *, latent: int = 8):
    return build("vae", spec, latent=latent, net="mlp(hidden=(128,))", k=4)


def naive(spec, *, latent: int = 8):
    recipe = plain(spec, latent=latent)
    recipe.model.latent.posterior = Naive(recipe.model.latent.posterior)
    return recipe


def by_score(t):
    """The ELBO, whose reconstruction term learns by log p(x|z) less the mean of the other draws."""
    signal = (t.log_px - t.log_px.mean(0)).detach() * 4 / 3
    gradient = (signal * t.draws[0].log_q).mean(0)
    return elbo(t) + gradient - gradient.detach()


def scored(spec, *, latent: int = 8):
    return naive(spec, latent=latent)._replace(objective=by_score)


settings = {"epochs": lab.pick(6, 4), "learning_rate": 2e-3, "schedule": "constant", "warmup": 0.0}
settings |= {"ema": 0.0, "compile": "off", "precision": "float32", "batch_size": lab.pick(64, 128)}
if lab.full:
    settings |= {"minutes": None, "optimizer": "adam", "weight_decay": 0.0, "binarize": "dynamic"}
    settings |= {"limit": 20_000}
runs = {
    name: diabolo.fit(lab.pick("digits", "mnist"), recipe, **settings, **lab.source).to("cpu")
    for name, recipe in (("path", plain), ("score", scored), ("lost", naive))
}
last = {name: max(r.valid_elbo for r in run.history.rows) for name, run in runs.items()}
batch = torch.rand(32, *runs["lost"].spec.event).round()
t = runs["lost"].model(batch, k=4)
encoder = list(runs["lost"].model.latent.posterior.parameters())
left = torch.autograd.grad(t.log_px.sum(), encoder, allow_unused=True)
size = sum(0.0 if g is None else float(g.abs().sum()) for g in left)
lost = last["path"] - last["lost"]
lab.claim("A27", "encoder's gradient of log p(x|z) through a detached z", size, "<= 0")
lab.claim(
    "A27",
    "ELBO lost without the path",
    lost,
    ">= 20",
    quick=">= 5",
    unit="nats",
)
lab.claim("A27", "ELBO lost by the score instead", last["path"] - last["score"], unit="nats")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
eps = torch.randn(20_000)
at = 1 + eps
bins = np.linspace(-15, 25, 81)
axes[0].hist(at**2 * eps, bins, density=True, alpha=0.6, label="score: variance 30")
axes[0].hist(2 * at, bins, density=True, alpha=0.6, label="path: variance 4")
axes[0].axvline(2, color="k", lw=1)
axes[0].set(xlabel="gradient of one draw", ylabel="density", title="both have the mean 2")
axes[0].legend(frameon=False, fontsize=8)
for name, run in runs.items():
    rows = run.history.rows
    axes[1].plot([r.step for r in rows], [r.valid_elbo for r in rows], "o-", ms=3, label=name)
axes[1].set(xlabel="step", ylabel="validation ELBO (nats)", title="training with each")
axes[1].legend(title="gradient", frameon=False, fontsize=8)
figure.tight_layout()
lab.finish(figure)
