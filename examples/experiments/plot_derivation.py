r"""
The cost function, step by step
===============================

The notes call the derivation of a variational autoencoder's cost function tricky. It is six lines.
Here every line is also a number: a linear Gaussian model, of which everything can be had in closed
form, is put beside it, and the two sides must agree to the last digits of float64.

.. math:: p(z) = \mathcal{N}(0, I), \qquad p(x \mid z) = \mathcal{N}(W z + b, \, \sigma^2 I).

The notes lose a logarithm on the way: :math:`\mathbb{E}_q[\log p(x \mid z)]` is what is maximised,
and neither :math:`\log \mathbb{E}_q[p(x \mid z)]` nor, without weights :math:`p(z) / q(z)`, an
estimate of :math:`p(x)`. They call the divergence positive (it is not negative) and a distance (it
is not symmetric).
"""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment

from diabolo.distributions import MultivariateNormal, Normal
from diabolo.distributions.kl import kl_divergence

lab = Experiment("derivation")
torch.set_default_dtype(torch.float64)

W = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]])
b, variance = torch.tensor([0.5, -0.5, 0.0]), torch.tensor(0.25)
x = torch.tensor([1.0, 0.0, 1.0])

prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
precision = torch.eye(2) + W.T @ W / variance
covariance = torch.linalg.inv(precision)
posterior = MultivariateNormal(
    covariance @ W.T @ (x - b) / variance, torch.linalg.cholesky(covariance)
)
marginal = MultivariateNormal(b, torch.linalg.cholesky(W @ W.T + variance * torch.eye(3)))
log_px = marginal.log_prob(x)


def log_likelihood(z):
    """log p(x | z) for codes (K, 2)."""
    return Normal(z @ W.T + b, 0.5 * variance.log()).log_prob(x)


# %%
# **Any q.** Nothing below asks that q be good, or that it know of x. Take a hundred at random, and
# for their expectations a rule that is exact for polynomials: Gauss-Hermite, 12 by 12 nodes.

nodes, weights = np.polynomial.hermite_e.hermegauss(12)
eps = torch.tensor(list(itertools.product(nodes, nodes)))
mass = torch.tensor([u * v for u, v in itertools.product(weights, weights)]) / (2 * math.pi)

generator = torch.Generator().manual_seed(0)
candidates = []
for _ in range(100):
    factor = 0.7 * torch.randn(2, 2, generator=generator).tril()
    factor = factor.tril(-1) + factor.diagonal().abs().clamp(min=0.05).diag()
    candidates.append(MultivariateNormal(torch.randn(2, generator=generator), factor))


def expectation(q, f):
    """The mean of f(z) under q: z = mean + L eps."""
    return (mass * f(q.loc + eps @ q.scale_tril.T)).sum()


def worst(difference):
    """The largest difference over all q."""
    return float(torch.stack([difference(q) for q in candidates]).abs().max())


# %%
# **1. The definition** of the divergence from the true posterior,
#
# .. math:: \mathrm{KL}(q \,\|\, p(z \mid x)) = \mathbb{E}_q[\log q(z) - \log p(z \mid x)].

one = worst(
    lambda q: (
        kl_divergence(q, posterior)
        - expectation(q, lambda z: q.log_prob(z) - posterior.log_prob(z))
    )
)

# %%
# **2. Bayes' rule**, at every z:
#
# .. math:: \log p(z \mid x) = \log p(x \mid z) + \log p(z) - \log p(x).

z = 3 * torch.randn(1000, 2, generator=generator)
bayes = posterior.log_prob(z) - (log_likelihood(z) + prior.log_prob(z) - log_px)
two = float(bayes.abs().max())

# %%
# **3. Put 2 into 1.** log p(x) knows no z, so it comes out of the expectation:
#
# .. math:: \mathrm{KL}(q \,\|\, p(z \mid x))
#     = \mathbb{E}_q[\log q(z) - \log p(x \mid z) - \log p(z)] + \log p(x).

three = worst(
    lambda q: (
        kl_divergence(q, posterior)
        - expectation(q, lambda z: q.log_prob(z) - log_likelihood(z) - prior.log_prob(z))
        - log_px
    )
)

# %%
# **4. Turn it round.** Two of the three terms are the divergence from the prior:
#
# .. math:: \log p(x) - \mathrm{KL}(q \,\|\, p(z \mid x))
#     = \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\|\, p(z)).
#
# The right side is the evidence lower bound (ELBO): distortion and rate, with signs turned. Both
# can be computed; the left side says what they are worth.


def elbo(q):
    """E_q[log p(x | z)] - KL(q || p(z))."""
    return expectation(q, log_likelihood) - kl_divergence(q, prior)


four = worst(lambda q: log_px - kl_divergence(q, posterior) - elbo(q))

# %%
# **5. The bound.** A divergence is never negative, so the ELBO is below log p(x) for every q, by
# exactly the divergence from the *posterior*; for q = p(z | x) the two are equal. A bound by
# Jensen's inequality is the same one; to go without the logarithm inside, weights are needed:
# :math:`p(x) = \mathbb{E}_q[p(x \mid z) \, p(z) / q(z)]`, not :math:`\mathbb{E}_q[p(x \mid z)]`.

bounds = torch.stack([elbo(q) for q in candidates])
gaps = torch.stack([kl_divergence(q, posterior) for q in candidates])
at_posterior = float((elbo(posterior) - log_px).abs())
sample = posterior.rsample((lab.pick(20_000, 1_000_000),))
wide = MultivariateNormal(posterior.loc, 1.5 * posterior.scale_tril)
drawn = wide.rsample((len(sample),))
log_w = log_likelihood(drawn) + prior.log_prob(drawn) - wide.log_prob(drawn)
weighted = (log_w.logsumexp(0) - math.log(len(drawn))).item()
error = float((log_w - log_px).exp().std() / math.sqrt(len(drawn)))
unweighted = (log_likelihood(drawn).logsumexp(0) - math.log(len(drawn))).item()

# %%
# **6. The gradient through the draw.** Write :math:`z = \mu + L \varepsilon`. Then the expectation
# is over noise that knows no parameter, and differentiation goes inside it:
#
# .. math:: \nabla_\mu \mathbb{E}_q[f(z)] = \mathbb{E}_\varepsilon[\nabla_z f(\mu + L \varepsilon)].
#
# A draw that is not written so has a gradient as well,
# :math:`\mathbb{E}_q[f(z) \nabla_\mu \log q(z)]`: what the notes call impossible is only noisy.

path, score = [], []
for q in candidates:
    loc = q.loc.clone().requires_grad_()
    moved = MultivariateNormal(loc, q.scale_tril)
    (a,) = torch.autograd.grad(expectation(moved, log_likelihood), loc)
    true = W.T @ (x - b - W @ q.loc) / variance  # the mean of a quadratic is at the mean
    held = q.loc + eps @ q.scale_tril.T
    inside = mass * log_likelihood(held) * MultivariateNormal(loc, q.scale_tril).log_prob(held)
    (s,) = torch.autograd.grad(inside.sum(), loc)
    path.append((a - true).abs().max())
    score.append((s - true).abs().max())

lab.claim("A60", "1. definition: closed form against expectation", one, "< 1e-9", unit="nats")
lab.claim("A60", "2. Bayes' rule at 1000 codes", two, "< 1e-9", unit="nats")
lab.claim("A60", "3. with log p(x) outside the expectation", three, "< 1e-9", unit="nats")
lab.claim("A60", "4. log p(x) - KL(q || posterior) = ELBO", four, "< 1e-9", unit="nats")
least = float((log_px - bounds).min())
lab.claim("A60", "5. least gap of 100 random q", least, "> 0", unit="nats")
lab.claim("A60", "5. gap at the posterior", at_posterior, "< 1e-9", unit="nats")
lab.claim(
    "A60",
    "5. weighted estimate beyond log p(x)",
    abs(weighted - float(log_px)) / error,
    "< 4",
    unit="standard errors",
)
lab.claim(
    "A60",
    "5. without the weights: too high by",
    unweighted - float(log_px),
    "> 1",
    unit="nats",
)
lab.claim("A60", "6. gradient along the path", float(max(path)), "< 1e-9")
lab.claim("A60", "6. gradient by the score", float(max(score)), "< 1e-7")

# %%
# The figure: each dot is one q. All lie on the line of step 4, none above the bound.

figure, axes = plt.subplots(figsize=(6, 4))
axes.scatter(gaps, bounds, s=14, label="100 random q")
line = torch.linspace(0, float(gaps.max()), 2)
axes.plot(line, log_px - line, color="0.5", lw=1, zorder=0, label=r"$\log p(x)$ - gap")
axes.axhline(float(log_px), color="C1", lw=1, label=r"$\log p(x)$")
axes.plot([0], [float(log_px)], "*", color="C3", ms=12, label="q = posterior")
axes.set(xlabel="KL(q || posterior), the gap (nats)", ylabel="ELBO (nats)")
axes.legend(frameon=False)
figure.tight_layout()
lab.finish(figure)
