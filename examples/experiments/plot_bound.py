r"""
The bound and its gap
=====================

For every q, whether it looks at x or not,

.. math:: \log p(x) - \mathrm{KL}(q(z) \,\|\, p(z \mid x))
    = \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q(z) \,\|\, p(z)),

so that the right side is a lower bound, and its gap is how far q is from the *posterior*. Here the
package's own models, bounds and likelihoods are put to a linear Gaussian model, where all of it is
known.

Where the notes are wrong: the divergence is "positive" (it is not negative); the encoder makes the
right side a bound (any q does, the encoder only tightens it); the loss "is the distance" (that
leaves out the rate); minimising the divergence "is" maximising the bound (for q alone: where the
decoder moves, log p(x) moves with it); and "when the std is raised until 1, less information is
lost" is the wrong way round: at mean 0 and scale 1 the code tells *nothing*, and costs nothing.
"""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo.data import Data
from diabolo.distributions import MultivariateNormal, Normal
from diabolo.distributions.kl import kl_divergence
from diabolo.evaluate import aggregate_posterior, bound, log_likelihood
from diabolo.latents import Amortized
from diabolo.model import Conditional, LatentModel
from diabolo.noise import Noise
from diabolo.priors import PRIORS
from diabolo.views import View

lab = Experiment("bound")
F64 = torch.float64


class Affine(nn.Module):
    """The decoder W z + b."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, z, c=None):
        return z @ self.weight.T + self.bias


class Fixed(nn.Module):
    """A posterior that is a function of x, given as such."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, c=None):
        return self.function(x)


class Points(Noise):
    """Four points in place of noise, whose mean takes quadratics of two elements exactly."""

    def normal(self, shape, like):
        eye = math.sqrt(2) * torch.eye(2, dtype=like.dtype)
        return torch.cat([eye, -eye])[:, None].expand(shape)


def model_with(q, weight, bias, scale):
    """The linear Gaussian model with this posterior."""
    d, e = weight.shape[1], len(bias)
    family = diabolo.distributions.family(f"Normal(scale={scale})")
    prior = PRIORS.build("normal", d, 0, posterior=Fixed(q), spec=None)
    latent = Amortized(Fixed(q), prior, d)
    return LatentModel(View((e,)), latent, Conditional(Affine(weight, bias), family, (e,))).double()


W = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]], dtype=F64)
b = torch.tensor([0.5, -0.5, 0.0], dtype=F64)
x = torch.tensor([[1.0, 0.0, 1.0]], dtype=F64)
precision = torch.eye(2, dtype=F64) + W.T @ W / 0.25


def posterior(x, weight=W):
    """p(z | x)."""
    cov = torch.linalg.inv(torch.eye(2, dtype=F64) + weight.T @ weight / 0.25)
    scale = torch.linalg.cholesky(cov).expand(len(x), 2, 2)
    return MultivariateNormal((x - b) @ weight / 0.25 @ cov, scale)


def diagonal(x):
    """The best q whose elements are independent: it has the diagonal of the precision."""
    mean = posterior(x).loc
    return Normal(mean, -0.5 * precision.diagonal().log().expand_as(mean))


def standard(x):
    """The prior: a q that does not look at x."""
    return Normal(x.new_zeros(len(x), 2), x.new_zeros(len(x), 2))


def elbo(q):
    """E_q[log p(x, z) - log q(z)], without sampling."""
    trace = model_with(q, W, b, 0.5)(x, k=4, noise=Points())
    return trace.log_weight.mean(0)[0]


log_px = log_likelihood(model_with(standard, W, b, 0.5), Data(x), method="exact").value

# %%
# **Identity, bound, gap.** A hundred q at random, with full covariance; the prior; the best
# diagonal q; the posterior.

generator = torch.Generator().manual_seed(0)
random = []
for _ in range(100):
    low = torch.randn(2, 2, generator=generator, dtype=F64).tril()
    low = 0.5 * low.tril(-1) + low.diagonal().abs().clamp(min=0.1).diag()
    loc = torch.randn(1, 2, generator=generator, dtype=F64)
    random.append(MultivariateNormal(loc, low[None]))
gaps = [float(kl_divergence(q, posterior(x))) for q in random]
bounds = [float(elbo(lambda _, q=q: q).detach()) for q in random]
off = max(abs(log_px - g - e) for g, e in zip(gaps, bounds, strict=True))
lab.claim("A21", "identity at 100 random q: largest difference", off, "< 1e-10", unit="nats")
at_prior = float(elbo(standard).detach())
lab.claim("A22", "ELBO at q = N(0, I)", at_prior, "within 1e-8 of -16.177374058", unit="nats")
lab.claim("A22", "its gap", log_px - at_prior, "within 1e-8 of 11.786123453", unit="nats")
gap = log_px - float(elbo(diagonal).detach())
lab.claim("A24", "gap of the best diagonal q", gap, "within 1e-9 of 0.0679007706", unit="nats")

many = Data(x.expand(lab.pick(2_000, 50_000), 3))
sampled = log_likelihood(model_with(diagonal, W, b, 0.5), many, k=50)
lab.claim("A23", "gap, best diagonal q", gap, "> 0.0679", unit="nats")
lab.claim(
    "A23",
    "gap, 50 samples of that q",
    log_px - sampled.value,
    "< 0.01",
    unit="nats",
    stderr=sampled.data_stderr,
    given="diagonal, full, flow, 50 samples: the gap falls; amortisation apart",
    changed="the posterior is normal, so that no flow is needed; nothing is amortised here",
)
full = log_px - float(elbo(posterior).detach())
lab.claim("A23", "gap, full covariance", abs(full), "< 1e-9", unit="nats")

two = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=F64)
q = MultivariateNormal(torch.tensor([1.0, -1.0], dtype=F64), torch.linalg.cholesky(two))
p = MultivariateNormal(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))
for name, pair, value in (
    ("KL(q || p)", (q, p), 1.2201921060),
    ("KL(p || q)", (p, q), 1.2798078940),
):
    told = f"{name} of two normal densities"
    lab.claim("A25", told, kl_divergence(*pair), f"within 1e-9 of {value}", unit="nats")

# %%
# **At a fixed decoder** the gradients of -KL(q || posterior) and of the ELBO by q are the same. By
# the decoder's weights they are not: they differ by the gradient of log p(x).

loc = torch.tensor([[0.3, -0.2]], dtype=F64, requires_grad=True)
scale = torch.tensor([[-0.5, 0.1]], dtype=F64, requires_grad=True)
up = torch.autograd.grad(elbo(lambda _: Normal(loc, scale)), (loc, scale))
down = torch.autograd.grad(kl_divergence(Normal(loc, scale), posterior(x)).sum(), (loc, scale))
unlike = max(float((u + d).abs().max()) for u, d in zip(up, down, strict=True))
lab.claim("A58", "gradient of ELBO plus that of KL, by q", unlike, "< 1e-9")
free = W.clone().requires_grad_()
cov = free @ free.T + 0.25 * torch.eye(3, dtype=F64)
evidence = MultivariateNormal(b, torch.linalg.cholesky(cov)).log_prob(x[0])
pull = torch.autograd.grad(evidence, free)[0]
q = Normal(loc.detach(), scale.detach())
m = model_with(lambda _: q, W, b, 0.5)
value = m(x, k=4, noise=Points()).log_weight.mean()
(by_decoder,) = torch.autograd.grad(value, m.likelihood.net.weight)
(of_gap,) = torch.autograd.grad(kl_divergence(q, posterior(x, free)).sum(), free)
off = (by_decoder + of_gap - pull).abs().max()
lab.claim("A58", "gradient of ELBO plus that of KL, less that of log p(x), by W", off, "< 1e-9")
lab.claim("A58", "|grad log p(x)| by W", pull.norm(), "> 0.1")

# %%
# **The two losses.** Both are sums over dimensions and means over data, in nats, and apart. By
# hand, with one element at a time:

many = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
m = model_with(diagonal, W, b, 0.5)
z, q = m(many, k=4, noise=Points()).draws[0].z, diagonal(many)
generative = latent = 0.0
for i in range(len(many)):
    for j in range(3):
        for k in range(4):
            error = many[i, j] - (W[j] @ z[k, i] + b[j])
            log_p = -0.5 * math.log(2 * math.pi * 0.25) - error**2 / (2 * 0.25)
            generative -= float(log_p) / (4 * len(many))
    for mean, log_sd in zip(q.loc[i].tolist(), q.log_scale[i].tolist(), strict=True):
        latent += (mean**2 + math.exp(2 * log_sd) - 1 - 2 * log_sd) / 2 / len(many)
trace = m(many, k=4, noise=Points())
apart = abs(float(-trace.log_px.detach().mean()) - generative)
lab.claim("A29", "generative loss less log-probabilities summed by hand", apart, "< 1e-9",
          unit="nats")  # fmt: skip
apart = abs(bound(m, Data(many)).rate[0].value - latent)
lab.claim("A29", "latent loss less the KL summed by hand", apart, "< 1e-9", unit="nats")

# %%
# **More samples, tighter bound.** z ~ N(0, 1), x | z ~ N(z, 1), x = 1, samples from the prior.

one = torch.ones(1, 1, dtype=F64)
toy = model_with(lambda x: Normal(0 * x, 0 * x), one, torch.zeros(1, dtype=F64), 1.0)
copies = Data(one.expand(lab.pick(4_000, 100_000), 1))
truth, ks, above, falls, curve = -1.5155121235, (1, 2, 4, 10, 50), [], [], []
for seed in range(3):
    found = [log_likelihood(toy, copies, k=k, seed=seed) for k in ks]
    above += [(f.value - truth) / f.data_stderr for f in found]
    falls += [u.value - v.value for u, v in pairwise(found)]
    curve.append([f.value for f in found])
first, loose = curve[0][0], "within 0.1 of -1.91894"
lab.claim("A32", "IWAE_k beyond log p(x), worst of k and seed", max(above), "< 4", unit="stderr")
lab.claim("A32", "largest fall from k to a larger k", max(falls), "< 0", unit="nats")
lab.claim("A32", "IWAE_1 of the oracle -1.91894", first, "within 0.03 of -1.91894", quick=loose)

# %%
# **What the notes have the wrong way round.** An encoder of x ~ N(0, 1) with mean
# :math:`\sqrt{1 - s^2} \, x` and scale s. The rate and the information in the code fall to 0 as s
# rises to 1.

line = torch.randn(lab.pick(500, 2_000), 1, generator=generator, dtype=F64)
line = (line - line.mean()) / line.std()
scales = [0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]
rates, told = [], []
for s in scales:
    kept = math.sqrt(1 - s * s)
    m = model_with(
        lambda x, s=s, kept=kept: Normal(kept * x, torch.full_like(x, math.log(s))),
        one,
        torch.zeros(1, dtype=F64),
        1.0,
    )
    rates.append(bound(m, Data(line)).rate[0].value)
    told.append(aggregate_posterior(m, Data(line)).information.value)
lab.claim("A55", "rate at mean 0 and scale 1", rates[-1], "<= 1e-9", unit="nats")
lab.claim("A55", "information in the code there", abs(told[-1]), "< 1e-3", unit="nats")
lab.claim("A55", "information at scale 0.1", told[0], "> 2", unit="nats")

# %%
# **Learning.** With a q that can be the posterior, the bound can be the likelihood: a linear model
# trained on its own kind of data learns their density.

n = lab.pick(4_000, 40_000)
z = torch.randn(n + 2000, 2, generator=generator, dtype=F64)
data = z @ W.T + b + 0.5 * torch.randn(n + 2000, 3, generator=generator, dtype=F64)
run = diabolo.fit(
    data[:n].float(),
    "vae",
    test=data[n:].float(),
    latent=2,
    net="mlp(hidden=())",
    posterior="full",
    likelihood="Normal(scale=shared)",
    epochs=40,
    batch_size=lab.pick(100, 200),
    learning_rate=3e-2,
    schedule="cosine",
).to("cpu")
law = MultivariateNormal(b, torch.linalg.cholesky(W @ W.T + 0.25 * torch.eye(3, dtype=F64)))
learned = log_likelihood(run.model, run.data("test"), method="exact")
apart = law.log_prob(data[n:]) - learned.per_datum
lab.claim(
    "A3",
    "KL(truth || model), probabilistic PCA",
    apart.mean(),
    "<= 0.01",
    quick="<= 0.05",
    stderr=apart.std() / math.sqrt(2000),
    unit="nats",
)
parts = bound(run.model, run.data("test"))
lab.claim("A30", "rate, which 'the loss is the distance' forgets", parts.rate[0].value, "> 1")
trace = run.model(data[n : n + 7].float(), k=5)
shaped = trace.draws[0].z.shape == (5, 7, 2) and trace.px.mean.shape == (5, 7, 3)
lab.claim("A30", "x -> q(z|x) -> z (5, 7, 2) -> p(x|z) (5, 7, 3)", shaped, ">= 1")

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.1))
axes[0].scatter(gaps, bounds, s=12, label="random q")
axes[0].plot([0, max(gaps)], [log_px, log_px - max(gaps)], color="0.6", lw=1, zorder=0)
axes[0].plot([gap], [log_px - gap], "s", color="C2", ms=5, label="best diagonal q")
axes[0].plot([0], [log_px], "*", color="C3", ms=10, label="posterior")
axes[0].set(xlabel="KL(q || posterior) (nats)", ylabel="ELBO (nats)", title="the gap")
axes[0].legend(frameon=False, fontsize=8)
axes[1].semilogx(ks, curve[0], "o-", ms=4, label="bound of k samples")
axes[1].axhline(truth, color="C3", lw=1, label=r"$\log p(x)$")
axes[1].set(xlabel="k", ylabel="nats", title="more samples")
axes[1].legend(frameon=False, fontsize=8)
axes[2].plot(scales, rates, "o-", ms=4, label="rate")
axes[2].plot(scales, told, "x--", ms=5, label="information")
axes[2].set(xlabel="scale of q(z|x)", ylabel="nats", title="scale to 1: nothing told")
axes[2].legend(frameon=False, fontsize=8)
figure.tight_layout()
lab.finish(figure)
