r"""
Why not to draw z from the prior
================================

:math:`P(x) = \int P(x \mid z) \, P(z) \, dz` invites to draw z from the prior and to average
:math:`P(x \mid z)`. That is right on average, and hopeless: for nearly every z, :math:`P(x \mid z)`
is nearly 0. How many draws it takes is known. The variance of one term, over its squared mean, is
:math:`\chi^2(P(z \mid x) \,\|\, P(z))`, and for a normal posterior of mean m and scale s

.. math:: 1 + \chi^2 = \frac{e^{m^2 / (2 - s^2)}}{s \sqrt{2 - s^2}}

for each latent, multiplied over latents. A VAE draws z from Q(z | x) instead, which is made for the
purpose: it can be sampled, its density can be computed, and its divergence from the prior often has
a closed form.

**Where the notes are wrong.** They go on to :math:`\mathbb{E}_Q[P(x \mid z)]` as if it were P(x).
It is not: draws of Q need the weight :math:`P(z) / Q(z \mid x)`, without which the number is far
too high. And the n of their average is large for one *datum* x; it is no number of data.
"""

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from scipy.integrate import quad
from scipy.stats import norm

import diabolo
from diabolo.distributions import kl_divergence
from diabolo.errors import DiaboloError
from diabolo.evaluate import difference, log_likelihood
from diabolo.posteriors import POSTERIORS
from diabolo.priors import PRIORS
from diabolo.recipes import RECIPES
from diabolo.registry import keywords

lab = Experiment("prior_sampling")


# %%
# **How many draws.** The formula beside the integral of :math:`P(z \mid x)^2 / P(z)`.


def needed(s, m=0.0):
    """1 + chi^2 of N(m, s^2) and N(0, 1)."""
    return math.exp(m * m / (2 - s * s)) / (s * math.sqrt(2 - s * s))


off = 0.0
for m, s in ((0.0, 0.1), (1.0, 0.1), (-2.0, 0.5), (0.5, 1.0)):
    inside = (lambda z, m=m, s=s: norm.pdf(z, m, s) ** 2 / norm.pdf(z), m - 20 * s, m + 20 * s)
    off = max(off, abs(quad(*inside, epsabs=0, limit=200)[0] / needed(s, m) - 1))
lab.claim("A17", "formula against integral, worst relative error", off, "<= 1e-8")
lab.claim("A17", "draws for a posterior scale of 0.1, one latent", needed(0.1),
          "within 1e-3 of 7.089")  # fmt: skip
lab.claim("A17", "the same, ten latents", needed(0.1) ** 10, "between 3.15e8 and 3.25e8")
lab.claim("A17", "scale 0.05, ten latents", needed(0.05) ** 10, "between 3.15e11 and 3.25e11")

# %%
# **Three ways to one number.** With two latents the integral can be had on a grid. Weighted draws
# of Q and annealed chains, which know nothing of Q, must come to the same.

unit = {"support": "unit", "epochs": lab.pick(6, 40), "batch_size": 64, "learning_rate": 3e-3}
small = diabolo.fit(
    "digits",
    "vae",
    latent=2,
    net="mlp(hidden=(64,))",
    likelihood=lab.pick("Normal(scale=0.4)", "Normal(scale=0.2)"),
    **unit,
).to("cpu")
few = small.data("test").take(torch.arange(lab.pick(4, 30)))
exact = log_likelihood(small.model, few, method=f"exact(tolerance={lab.pick(1e-2, 1e-4)})")
weighted = log_likelihood(small.model, few, k=lab.pick(5_000, 50_000))
chains = log_likelihood(small.model, few, method=f"annealed(temperatures={lab.pick(50, 600)})")
for name, e in (("weighted draws of Q", weighted), ("annealing", chains)):
    lab.claim("A10", f"{name} less quadrature", difference(e, exact).value, "within 0.02 of 0",
              quick="within 0.3 of 0", unit="nats", stderr=e.mc_stderr)  # fmt: skip

# %%
# **Many latents.** No grid is left. Ten thousand draws of the prior, a hundred of Q, and annealed
# chains as the judge of both.

full = {"binarize": "dynamic", "epochs": 5, "batch_size": 250, "learning_rate": 2e-3,
        "schedule": "cosine", "precision": "bf16", **lab.source}  # fmt: skip
wide = diabolo.fit(
    lab.pick("digits", "mnist"),
    "vae",
    latent=lab.pick(10, 20),
    net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(256, 256))"),
    prior="normal",
    **lab.pick(unit | {"likelihood": "Normal(scale=0.15)", "epochs": 15}, full),
).to("cpu")
test = wide.data("test").take(torch.arange(lab.pick(6, 20)))
n = lab.pick(1_000, 10_000)
naive = log_likelihood(wide.model, test, method="prior", k=n)
of_q = log_likelihood(wide.model, test, k=100)
judge = log_likelihood(wide.model, test, k=lab.pick(4, 8),
                       method=f"annealed(temperatures={lab.pick(30, 400)})")  # fmt: skip
low = difference(judge, naive)
lab.claim("A17", f"draws of the prior: too low by, n = {n:,}", low.value, ">= 20", quick=">= 3",
          unit="nats", stderr=low.data_stderr)  # fmt: skip
low = difference(judge, of_q)
lab.claim("A17", "100 weighted draws of Q less annealing", -low.value, "within 0.5 of 0",
          quick="within 3 of 0", unit="nats", stderr=low.data_stderr)  # fmt: skip
ess = float(naive.ess.median())
lab.claim("A19", f"effective sample size of the prior's draws, median, n = {n:,}", ess, "< 1.1",
          quick="< 2")  # fmt: skip
lab.claim("A19", "that of 100 draws of Q", float(of_q.ess.median()))

# %%
# **For most z, P(x | z) is nearly 0.** One digit, and what codes of the prior and of Q make of it.

one = test.batch(torch.arange(1)).x
with torch.no_grad():
    torch.manual_seed(0)
    codes = torch.randn(n, wide.latent)
    of_prior = wide.model.decode(codes).log_prob(one)
    trace = wide.model(test.batch(torch.arange(len(test))).x, k=1000)
top = float(trace.log_px[:, 0].median())
share = float((of_prior > top).double().mean())
lab.claim("A19", "median log P(x | z): codes of Q less codes of the prior",
          top - float(of_prior.median()), "> 50", quick="> 20", unit="nats")  # fmt: skip
lab.claim("A19", "part of the prior's codes that do as well as the median of Q's", share, "<= 1e-3",
          quick="<= 1e-2")  # fmt: skip
bare = trace.log_px.logsumexp(0) - math.log(1000)
lab.claim("A20", "E_Q[P(x | z)] without weights: too high by",
          float(bare.double().mean()) - judge.value, "> 5", quick="> 2", unit="nats")  # fmt: skip

# %%
# **What Q must be able to do**: be drawn from, tell the density of what is drawn, and, where it is
# known, give its divergence from the prior in closed form. Every posterior of the menu beside every
# prior, and every recipe, those with several groups of latents and with discrete ones too.
#
# Draws are held to densities by an identity whose both sides are bounded,
# :math:`\mathbb{E}_q[p / (p + q)] = \mathbb{E}_p[q / (p + q)]`, and closed forms to the mean of
# :math:`\log q - \log p`. Differences are counted in their standard errors.

torch.set_default_dtype(torch.float64)
x = few.batch(torch.arange(4)).x.double()
draws = lab.pick(500, 3_000)
words = {"net": "mlp(hidden=(16,))", "latent": 4, "top": 2, "width": 8, "pseudo_inputs": 6}
shorter = {"flow": "flow(transforms=2, hidden=(16,))", "vamp": "vamp(count=20)"}
spec = replace(small.spec, examples=small.spec.examples.double())


def built(recipe, **options):
    """A model with small networks, conditional if it must be, and its condition; or None."""
    small_words = {k: v for k, v in words.items() if k in keywords(RECIPES.load(recipe))}
    for width in (0, 2):
        given = replace(spec, condition=width, unlabelled=100 if width else None)
        try:
            model = diabolo.build(recipe, given, **small_words, **options).model.double().eval()
        except DiaboloError:
            continue
        return model, torch.eye(2).repeat(2, 1) if width else None
    return None


def worst(values):
    """The mean over draws, in standard errors, where it is farthest from 0."""
    return float((values.mean(0).abs() / (values.std(0) / math.sqrt(draws) + 1e-12)).max())


@torch.no_grad()
def seen(model, c):
    """Of each group of latents: density apart, draws off, closed form off (None without one)."""
    for d in model(x, c, k=draws).draws:
        if d.q is None or d.p is None:
            continue
        y = d.p.sample((draws, len(x))[: 2 - len(d.p.batch_shape)])
        apart = float((d.q.log_prob(d.z) - d.log_q).abs().max())
        swap = worst((d.log_p - d.log_q).sigmoid() - (d.q.log_prob(y) - d.p.log_prob(y)).sigmoid())
        closed = kl_divergence(d.q, d.p)
        yield apart, swap, None if closed is None else worst(closed - (d.log_q - d.log_p))


pairs = {}
for q in POSTERIORS.names():
    for p in PRIORS.names():
        made = built("vae", posterior=shorter.get(q, q), prior=shorter.get(p, p))
        if made is not None:
            pairs[q, p] = next(seen(*made))
for q in POSTERIORS.names():
    mine = [v for (name, _), v in pairs.items() if name == q]
    lab.claim("A20", f"{q}: its density and that of its draws, farthest apart",
              max(v[0] for v in mine), "<= 1e-9", unit="nats")  # fmt: skip
    lab.claim("A20", f"{q}: draws against density, worst of {len(mine)} priors",
              max(v[1] for v in mine), "< 5", unit="stderr")  # fmt: skip
closed = [v[2] for v in pairs.values() if v[2] is not None]
lab.claim("A20", f"closed divergences against draws, worst of {len(closed)}", max(closed), "< 5",
          unit="stderr")  # fmt: skip
lab.claim("A20", "pairs of posterior and prior with a closed divergence", len(closed), ">= 8")

groups = {r: list(seen(*made)) for r in RECIPES.names() if (made := built(r)) is not None}
groups = {r: found for r, found in groups.items() if found}
every = [v for found in groups.values() for v in found]
told = f"{len(every)} groups of latents in {len(groups)} recipes"
lab.claim("A20", f"{told}: draws against density, worst", max(v[1] for v in every), "< 5",
          unit="stderr")  # fmt: skip
lab.claim("A20", f"{told}: closed divergences, worst",
          max(v[2] for v in every if v[2] is not None), "< 5", unit="stderr")  # fmt: skip
torch.set_default_dtype(torch.float32)

# %%
figure, axes = plt.subplots(2, 2, figsize=(8.6, 6.6), layout="constrained")
dims = np.arange(1, 21)
for s, color in ((0.05, "C3"), (0.1, "C1"), (0.3, "C0")):
    axes[0, 0].semilogy(dims, needed(s) ** dims, "o-", ms=3, color=color, label=f"scale {s}")
axes[0, 0].set(xlabel="latents", ylabel="draws of the prior", title="draws for one datum")
axes[0, 0].legend(frameon=False, title="posterior")
span = np.linspace(float(of_prior.quantile(0.005)), float(trace.log_px[:, 0].max()), 80)
for values, label, color in ((of_prior, "prior", "C3"), (trace.log_px[:, 0], "Q(z | x)", "C0")):
    axes[0, 1].hist(values.numpy(), span, density=True, alpha=0.7, color=color, label=label)
axes[0, 1].set(xlabel="log P(x | z) of one digit (nats)", yticks=[], ylabel="share of codes",
               title="what codes make of it")  # fmt: skip
axes[0, 1].legend(frameon=False, title="codes of", loc="upper left")
for e, label, color in ((naive, f"{n:,} of the prior", "C3"), (of_q, "100 of Q", "C0")):
    axes[1, 0].scatter(judge.per_datum, e.per_datum, s=14, color=color, label=label)
ends = [float(judge.per_datum.min()), float(judge.per_datum.max())]
axes[1, 0].plot(ends, ends, "k", lw=1, zorder=0)
axes[1, 0].set(xlabel="annealing (nats)", ylabel="estimate of log P(x) (nats)",
               title="each point a test digit")  # fmt: skip
axes[1, 0].legend(frameon=False, title="draws")
rows, columns = POSTERIORS.names(), PRIORS.names()
for i, q in enumerate(rows):
    for j, p in enumerate(columns):
        if (q, p) in pairs:
            known = pairs[q, p][2] is not None
            axes[1, 1].plot(j, i, "o" if known else "x", color="C0" if known else "C1", ms=7)
axes[1, 1].plot([], [], "o", color="C0", label="closed form")
axes[1, 1].plot([], [], "x", color="C1", label="by draws")
axes[1, 1].set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
axes[1, 1].set_yticks(range(len(rows)), rows, fontsize=8)
axes[1, 1].set(xlabel="prior", ylabel="posterior", xlim=(-0.5, len(columns) - 0.5),
               ylim=(len(rows) - 0.5, -0.5))  # fmt: skip
axes[1, 1].set_title("divergence of each pair", pad=22)
axes[1, 1].legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
lab.finish(figure)
