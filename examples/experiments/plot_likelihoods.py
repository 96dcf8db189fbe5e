"""
Many outputs, each a density
============================

A VAE's decoder gives the parameters of a density of x: for bits, grey levels, counts, reals. A
likelihood is a number to compare only if it is one: its values over all x sum, or integrate, to 1.
A cross-entropy of grey values or an error plus a penalty does not.

**Where the notes want care.** One writes N(f(z), sigma^2) for many pixels: the covariance is
:math:`\\sigma^2 I`. And "the decoder gives a mean *and* a covariance" has a trap: where a datum can
be met exactly, the density rises without bound as the standard deviation falls. A floor under it
makes the likelihood bounded. Diabolo takes the standard deviation of rounding to the steps of the
data, a step / sqrt(12).
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from sklearn.datasets import load_digits

import diabolo
from diabolo.distributions import Normal, families, family
from diabolo.evaluate import bound

lab = Experiment("likelihoods")
LEVELS = 17
torch.set_default_dtype(torch.float64)

# %%
# **Every likelihood of the menu**, with random parameters. Discrete ones are summed over all
# values, the others integrated on a grid that is dense at the mean and reaches far.


def values(p, support: str):
    """All values of x, or a grid of them, and the weight of each."""
    if support == "binary":
        x = torch.arange(2.0)
    elif support in ("byte", "category", "ordinal"):
        x = torch.arange(float(LEVELS)) / (LEVELS - 1 if support == "byte" else 1)
    elif support == "count":
        x = torch.arange(5000.0)
    elif support == "unit":
        at, weight = np.polynomial.legendre.leggauss(400)
        return torch.from_numpy(at + 1) / 2, torch.from_numpy(weight) / 2
    else:
        t = torch.linspace(-20, 20, lab.pick(100_001, 400_001))
        step = float(t[1] - t[0])
        centre, width = float(p.mean), float(p.variance.sqrt())
        x, slope = centre + width * t.sinh(), width * t.cosh()
        if support == "positive":  # on a logarithmic axis
            x = centre * t.exp()
            slope = x
        return x, slope * step
    return x, torch.ones_like(x)


shown, masses = {}, []
for name, cls in families().items():
    if "mixed" in cls.supports:
        continue  # a product of the others, column by column
    support = "real" if "real" in cls.supports else sorted(cls.supports)[0]
    levels = LEVELS if support in ("byte", "category", "ordinal") else None
    made = family(name, levels=levels, support=support)
    made.prepare((1,))
    made = made.double().eval()
    torch.manual_seed(1)
    raw = 0.7 * torch.randn(made.width((1,)), 1)
    with torch.no_grad():
        p = made.from_raw(raw, 1).given(torch.tensor([6.0]))
        x, weight = values(p, support)
        density = p.log_prob(x[:, None]).exp()
    masses.append(float((density * weight).sum()))
    shown[name] = x, density, support
    print(f"{name:30} {support:9} {masses[-1]:.9f}")
worst = np.abs(np.array(masses) - 1).max()  # NaN, if one of them is
lab.claim("A11", f"largest distance from 1 of the mass, {len(shown)} likelihoods", worst,
          "<= 1e-6")  # fmt: skip
lab.claim("A11", "likelihoods looked at", len(shown), ">= 14")

# %%
# **Without a floor.** A datum that is met exactly gains ln 10 nats an element for each decade by
# which the standard deviation falls: there is no best model.

scales = 10.0 ** -torch.arange(0.0, 9.0)
point = torch.zeros(1)
free = torch.stack([Normal(point, s.log()).log_prob(point) for s in scales])
lab.claim("A49", "gain of log p for each decade of sigma, no floor", float((free[1:] - free[:-1])
          .mean()), f"within 1e-9 of {math.log(10):.12f}", unit="nats")  # fmt: skip
FLOOR = 0.02
floored = family(f"Normal(floor={FLOOR})", support="real").double()
raws = torch.stack([torch.zeros_like(scales), scales.log()], 1)[..., None]
with torch.no_grad():
    held = floored.from_raw(raws, 1).log_prob(point)
most = -math.log(FLOOR) - 0.5 * math.log(2 * math.pi)
lab.claim("A49", "most that log p gains with a floor, less its bound", float(held.max()) - most,
          "<= 0", unit="nats")  # fmt: skip

# %%
# **In training.** Digits have pixels at the border that are always 0, where a VAE with next to no
# floor gains nats for nothing. That its bound has no limit is what the lines above show, and not
# this training, which is too short: it ends below even the most that the other floor allows (a
# limit that holds for that floor by construction). What is seen here is that it is ahead, and
# gaining.

torch.set_default_dtype(torch.float32)
bounds = {}
for what, call in (("floor 1e-6", "Normal(floor=1e-6)"), ("floor from the steps", "Normal")):
    bounds[what] = []
    for epochs in lab.pick([5, 20], [5, 20, 80, 160]):
        run = diabolo.fit(
            load_digits().images / 16,
            "vae",
            likelihood=call,
            support="unit",
            latent=8,
            epochs=epochs,
            net="mlp(hidden=(64,))",
            learning_rate=5e-3,
            batch_size=64,
        )
        found = bound(run.model, run.data("train"), samples=2)
        bounds[what].append((epochs, found.elbo.value))
low, high = (bounds[k][-1][1] for k in ("floor from the steps", "floor 1e-6"))
limit = 64 * (-math.log(0.0625 / math.sqrt(12)) - 0.5 * math.log(2 * math.pi))
lab.claim("A49", "training ELBO, next to no floor, less the most that the floor allows",
          high - limit, unit="nats")  # fmt: skip
lab.claim("A49", "training ELBO gained by leaving the floor out", high - low, ">= 10",
          quick=">= 1", unit="nats")  # fmt: skip
lab.claim("A49", "training ELBO with the floor, less the most that it allows", low - limit,
          unit="nats")  # fmt: skip

# %%
columns = 5
rows = math.ceil(len(shown) / columns)
figure = plt.figure(figsize=(9, 1.35 * rows + 2.6), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1.35 * rows, 2.6))
axes = top.subplots(rows, columns, squeeze=False).flatten()
for ax, (name, (x, density, support)) in zip(axes, shown.items(), strict=False):
    seen = density > 1e-3 * density.max()
    x, density = x[seen], density[seen]
    if support in ("real", "positive", "unit"):
        ax.fill_between(x, density, alpha=0.5)
    else:
        ax.vlines(x, 0, density, linewidth=2)
    ax.set_title(f"{name}\n({support})", fontsize=7)
    ax.set_ylim(bottom=0)
    ax.tick_params(labelsize=6)
for ax in axes[len(shown):]:  # fmt: skip
    ax.set_visible(False)
left, right = bottom.subplots(1, 2)
left.semilogx(scales, free, marker="o", label="no floor")
left.semilogx(scales, held, marker="s", label=f"floor {FLOOR}")
left.invert_xaxis()
left.set(xlabel="sigma that is asked for", ylabel="log p at the mean (nats)")
left.legend(frameon=False)
for what, points in bounds.items():
    right.plot(*zip(*points, strict=True), marker="o", label=what)
right.axhline(limit, color="0.5", linestyle="--", label="the most with that floor")
right.set(xlabel="epochs", ylabel="training ELBO (nats)")
right.legend(frameon=False, fontsize=8)
lab.finish()
