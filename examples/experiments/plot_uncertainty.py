r"""
Which uncertainty a VAE has
===========================

An autoencoder gives one code for an image, the same each time. A VAE gives a distribution of codes,
and decodes a draw from it to a distribution of images. So there is chance in it, and it is worth
asking of what.

**In the notes** a VAE is called Bayesian, with "uncertainty over parameters, hyper-parameters,
data, architectures". It is Bayesian about *z*, given the weights, and about nothing else: the
weights are one point, found by maximum likelihood. Far from the data a VAE is as sure of itself as
among them.
Uncertainty about parameters must be added, and the simplest way is an ensemble: models that differ
in their start and in the data that they happened to see. By the law of total variance,

.. math::
    \mathrm{Var}(y \mid x) = \underbrace{E_\theta \mathrm{Var}(y \mid x, \theta)}_{
    \text{what each VAE says}} + \underbrace{\mathrm{Var}_\theta E(y \mid x, \theta)}_{
    \text{what none of them can say}}.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment

import diabolo
from diabolo.noise import KeyedNoise

lab = Experiment("uncertainty")

# %%
# First the codes: 200 draws for each of some digits.

small = {"latent": 6, "net": "mlp(hidden=(64,))", "epochs": lab.pick(5, 40), "batch_size": 64}
plain, variational = (
    diabolo.fit("digits", "ae", **small).to("cpu"),
    diabolo.fit("digits", "vae", **small).to("cpu"),
)


def draws(run: diabolo.Run) -> torch.Tensor:
    """Draws of the code, (200, N, D)."""
    data = run.data("test")
    batch = data.batch(torch.arange(100))
    with torch.no_grad():
        return run.model.infer(batch.x, k=200, noise=KeyedNoise(0, batch.index))[0].code


still, moving = draws(plain), draws(variational)
lab.claim(
    "A59",
    "autoencoder: greatest difference of two codes of one image",
    (still - still[0]).abs().max(),
    "<= 0",
)
images = variational.data("test").batch(torch.arange(100)).x
with torch.no_grad():
    stated = variational.model.encode(images)[1]
ratio = moving.var(0).mean() / stated.mean()
lab.claim(
    "A59", "VAE: variance of the draws / variance that q(z|x) states", ratio, "within 0.05 of 1"
)

# %%
# Then a task where one can see what is known: y given x, with no data between -0.5 and 0.5. Each
# model is a conditional VAE of y given x; eight of them (three in the quick settings) differ in
# seed and in their sample of the data. Two ensembles: one saw 30 points, the other 3000. These have
# one scale for all x, and so can hardly say that they do not know in the hole. Whether a VAE would
# say it is asked of a third ensemble, which states a scale for each x (after 3000 points: 30 are
# too few to learn scales from).

NOISE, GRID = 0.1, np.linspace(-2, 2, 81)
MEMBERS, STEPS = lab.pick(3, 8), lab.pick(180, 1500)


def task(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.75, n) * rng.choice([-1, 1], n)
    return x, np.sin(2.5 * x) + NOISE * rng.normal(size=n)


def answers(n: int, member: int, scale: str = "shared") -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of y at each point of the grid, as one model states them, each (81,)."""
    x, y = task(n, seed=0)
    # A sample of the sample (bootstrap). Few points are given ten times over, for shorter epochs.
    pick = np.random.default_rng(member).integers(n, size=n).repeat(10 if n < 100 else 1)
    run = diabolo.fit(
        y[pick][:, None],
        "cvae",
        condition=x[pick],
        latent=1,
        net="mlp(hidden=(64, 64))",
        likelihood=f"Normal(scale={scale})",
        batch_size=64,
        epochs=max(1, STEPS // max(1, int(0.9 * len(pick)) // 64)),
        learning_rate=lab.pick(1e-2, 3e-3),
        schedule="cosine",
        seed=member,
    ).to("cpu")
    drawn = run.sample(200 * len(GRID), condition=np.repeat(GRID, 200)).reshape(len(GRID), 200)
    return drawn.mean(1), drawn.var(1)


between, within, curves = {}, {}, {}
for n in (30, 3000):
    told = np.array([answers(n, member) for member in range(MEMBERS)])  # (members, 2, 81)
    curves[n] = told
    # A mean of 200 draws has an error of its own, which is no disagreement.
    between[n] = (told[:, 0].var(0, ddof=1) - told[:, 1].mean(0) / 200).clip(1e-6)
    within[n] = told[:, 1].mean(0)

seen = (np.abs(GRID) >= 0.5) & (np.abs(GRID) <= 1.75)
hole = np.abs(GRID) < 0.4
for n in between:
    lab.claim(
        "A59",
        f"{n} points, among data: sd that one VAE states / of the noise",
        within[n][seen].mean() ** 0.5 / NOISE,
        "between 0.7 and 2",
        quick="between 0.2 and 4",
    )
    lab.claim(
        "A59",
        f"{n} points: sd that one VAE states, in the hole / among data",
        (within[n][hole].mean() / within[n][seen].mean()) ** 0.5,
    )
    lab.claim(
        "A59",
        f"{n} points: disagreement of the ensemble (sd), in the hole / among data",
        (between[n][hole].mean() / between[n][seen].mean()) ** 0.5,
        ">= 2",
        quick=">= 2" if n > 100 else ">= 0.7",
    )
fall = (between[30][seen].mean() / between[3000][seen].mean()) ** 0.5
lab.claim(
    "A59", "disagreement among data (sd): 30 points / 3000 points", fall, ">= 2", quick=">= 1.1"
)

own = np.mean([answers(3000, member, "element")[1] for member in range(MEMBERS)], axis=0)
lab.claim(
    "A59",
    "3000 points, a scale for each x: sd that one VAE states, in the hole / among data",
    (own[hole].mean() / own[seen].mean()) ** 0.5,
    "<= 2",
)

# %%
# More data make the members agree, where there are data. What each says of its own uncertainty does
# not shrink, since it is that of the noise; and in the hole it does not grow, even where each might
# state another scale there: nothing in its training asks for that.

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.5), sharey=True)
for a, n in zip(axes, curves, strict=True):
    a.plot(*task(n, 0), ".", color="0.75", ms=3, zorder=0, label="data")
    for i, (mean, variance) in enumerate(curves[n]):
        color, label = ("tab:blue", "means of the others") if i else ("tab:red", "mean of one VAE")
        a.plot(GRID, mean, color=color, lw=0.9, label=label if i < 2 else None, zorder=2 + (not i))
        if not i:
            a.fill_between(
                GRID,
                mean - 2 * variance**0.5,
                mean + 2 * variance**0.5,
                color="tab:orange",
                alpha=0.3,
                label="2 sd that this one states",
            )
    a.axvspan(-0.5, 0.5, color="0.93", zorder=-1)
    a.set(xlabel="x", title=f"{n} points; grey: no data", ylim=(-2.5, 3))
axes[0].set_ylabel("y")
axes[0].legend(fontsize=7, loc="upper right")
figure.tight_layout()
lab.finish()
