r"""
Any distribution is a function of normals
=========================================

A latent model starts with normal numbers and leaves the rest to a function. That is enough for any
distribution: with :math:`\Phi` the normal distribution function, :math:`f = F^{-1} \circ \Phi` maps
one normal number to the distribution F; in more dimensions each element takes its own conditional
F (Rosenblatt's map).

The notes say that this holds for *any* distribution. It does for a measurable f. A decoder is a
continuous function, and what a continuous function makes of the plane hangs together: between two
separate clusters it leaves a bridge, thin but never of no mass.
"""

import matplotlib.pyplot as plt
import numpy as np
from experiment import Experiment
from scipy.special import ndtr
from scipy.stats import expon, kstest, logistic, norm

import diabolo

lab = Experiment("any_distribution")
n = lab.pick(40_000, 100_000)
rng = np.random.default_rng(0)

# %%
# **One dimension.** A target without an inverse in closed form is inverted by halving intervals.


def inverse(cdf, u, low=-12.0, high=12.0):
    """The x at which a distribution function reaches u, element by element."""
    low, high = np.full(u.shape, low), np.full(u.shape, high)
    for _ in range(45):
        middle = (low + high) / 2
        above = cdf(middle) > u
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def two_bumps(x):
    return 0.5 * norm.cdf(x, -2, 0.5) + 0.5 * norm.cdf(x, 2, 1.0)


targets = {
    "logistic": (logistic.cdf, logistic.ppf),
    "exponential": (expon.cdf, expon.ppf),
    "two bumps": (two_bumps, lambda u: inverse(two_bumps, u)),
}
made = {name: f(ndtr(rng.standard_normal(n))) for name, (_, f) in targets.items()}
for name, (cdf, _) in targets.items():
    lab.claim("A14", f"KS distance, {name}", kstest(made[name], cdf).statistic, "<= 0.01")

# %%
# **Two dimensions.** A mixture of three correlated normal densities. The first element has a
# mixture as marginal, the second given the first again a mixture, whose weights depend on it.

share = np.array([0.3, 0.4, 0.3])
mean = np.array([[-2.0, 0.0], [0.5, 1.5], [1.5, -1.5]])
cov = np.array([[[0.5, 0.4], [0.4, 0.6]], [[0.8, -0.5], [-0.5, 0.5]], [[0.2, 0.1], [0.1, 0.9]]])

z = rng.standard_normal((n, 2))
s = np.sqrt(cov[:, 0, 0])
x1 = inverse(lambda x: (share * ndtr((x[:, None] - mean[:, 0]) / s)).sum(1), ndtr(z[:, 0]))
weight = share * norm.pdf(x1[:, None], mean[:, 0], s)
weight /= weight.sum(1, keepdims=True)
slope = cov[:, 0, 1] / cov[:, 0, 0]
centre = mean[:, 1] + slope * (x1[:, None] - mean[:, 0])
width = np.sqrt(cov[:, 1, 1] - slope * cov[:, 0, 1])
x2 = inverse(lambda x: (weight * ndtr((x[:, None] - centre) / width)).sum(1), ndtr(z[:, 1]))
plane = np.stack([x1, x2], axis=1)

distances = []
for angle in np.linspace(0, np.pi, 8, endpoint=False):
    a = np.array([np.cos(angle), np.sin(angle)])
    at, wide = mean @ a, np.sqrt(np.einsum("i,kij,j->k", a, cov, a))
    seen = kstest(plane @ a, lambda x, m=at, w=wide: ndtr((x[:, None] - m) / w) @ share)
    distances.append(seen.statistic)
lab.claim("A14", "KS distance in two dimensions, worst of 8 directions", max(distances), "<= 0.01")

# %%
# **The limit.** Data of two clusters with nothing between -1 and 1. The exact f jumps there. A
# learned decoder cannot: the part of the prior that it sends into the gap is small, not 0.

side = rng.choice([-1.0, 1.0], lab.pick(1_000, 20_000))
clusters = (side * (2 + 0.3 * rng.uniform(-1, 1, len(side))))[:, None]
run = diabolo.fit(
    clusters,
    "vae",
    latent=1,
    net="mlp(hidden=(64, 64))",
    likelihood="Normal(scale=0.2)",
    epochs=lab.pick(20, 60),
    batch_size=lab.pick(40, 100),
    learning_rate=3e-3,
)
line = np.linspace(-5, 5, 200_001)
decoded = run.decode(line[:, None].astype(np.float32))[:, 0]
between = float((norm.pdf(line) * (np.abs(decoded) < 1)).sum() * (line[1] - line[0]))
reach = float(min(-decoded.min(), decoded.max()))
lab.claim("A14", "learned f reaches both clusters: its nearer end", reach, "> 1.5")
lab.claim("A14", "mass that learned f leaves in the gap", between)

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
u = np.linspace(-3, 3, 601)
for name, (_, f) in targets.items():
    axes[0].plot(u, f(ndtr(u)), label=name)
axes[0].set(xlabel="normal number z", ylabel="x = f(z)", title="one dimension")
axes[0].legend(frameon=False, fontsize=8)
axes[1].scatter(*plane[:4000].T, c=np.arctan2(z[:4000, 1], z[:4000, 0]), s=2, cmap="twilight")
axes[1].set(xlabel="$x_1$", ylabel="$x_2$", title="two, coloured by the angle of z")
axes[2].axhspan(-1, 1, color="0.9", label="no data here")
axes[2].plot(line, decoded, color="C3", label="learned f")
axes[2].set(xlabel="z", ylabel="x", xlim=(-3, 3), title="two clusters: a bridge")
axes[2].legend(frameon=False, fontsize=8, loc="upper right")
figure.tight_layout()
lab.finish(figure)
