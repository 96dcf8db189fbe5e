"""
Beside other models
===================

The notes compare VAEs with other models in words: fast, a useful code, blurred. Three numbers say
more: how likely held-out data are, how good samples look to a test, and how long a sample takes. No
one of them stands for another.

**Where the notes are dated.** Their opponent is the adversarial network of 2014, which has no
likelihood and so no first column; it is not a part of this package. The comparison here is within
the family: one latent with a simple or a learned prior, a bound of many samples, a hierarchy, and
an autoencoder that is given a density for its codes afterwards. That one has no likelihood either.

The quality of samples is told by neighbours among digits, in the directions of most variance:
*precision* is the part of the samples that lies among the data, *recall* the part of the data that
lies among the samples. The squared Frechet distance there compares means and covariances. Held-out
data show what may be expected of precision and recall; of the distance they do not, since the first
thousand test images of MNIST, other writers' digits, are farther from the training images than
samples are, which imitate these. All models are trained for three epochs only: the numbers
are of the start of a training, and models that learn slowly would gain most by more.
"""

import time

import matplotlib.pyplot as plt
import torch
from experiment import Experiment

import diabolo
from diabolo.evaluate import difference, frechet_distance, manifolds

lab = Experiment("models_compared")
shared = {
    "latent": lab.pick(8, 20),
    "net": lab.pick("mlp(hidden=(64,))", "mlp(hidden=(256, 256), activation=gated)"),
    "binarize": "dynamic",
    "epochs": 3,
    "batch_size": lab.pick(64, 250),
    "learning_rate": lab.pick(8e-3, 2e-3),
    "schedule": "cosine",
    "precision": lab.pick("float32", "bf16"),
    **lab.source,
}
menu = {
    "vae": ("vae", {"prior": "normal"}),
    "vae, flow prior": ("vae", {"prior": "flow(transforms=4)"}),
    "iwae, k = 5": ("iwae", {"k": 5, "prior": "normal"}),
    "ladder": ("ladder", {}),
    "ae + mixture": ("ae", {}),
}
name = lab.pick("digits", "mnist")
runs = {what: diabolo.fit(name, recipe, **shared | own) for what, (recipe, own) in menu.items()}
runs["ae + mixture"] = runs["ae + mixture"].refit(prior="mixture")
first = runs["vae"]
test = first.data("test").take(torch.arange(lab.pick(359, 1000)))

# %%
# **Quality, after three epochs.** Data and samples are compared in the 20 directions of most
# variance of the training data. A point is among others if it is nearer to one of them than that
# one's third neighbour.

few = first.data("train").take(torch.arange(lab.pick(1294, 4000))).drawn().x.flatten(1).float()
centre = few.mean(0)
turn = torch.linalg.svd(few - centre, full_matrices=False).Vh[:20].T


held = (test.drawn().x.flatten(1).float() - centre) @ turn
known = ((few - centre) @ turn)[: len(held)]
quality = {"held-out data": manifolds(known, held, neighbours=3)}
far = {"held-out data": frechet_distance(known, held)}

# %%
# **The table.**

nats, speed = {}, {}
for what, run in runs.items():
    began = time.perf_counter()
    drawn = torch.from_numpy(run.sample(len(held), seed=3) > 0).flatten(1).float()
    speed[what] = 1000 * (time.perf_counter() - began) / len(held)
    samples = (drawn - centre) @ turn
    quality[what] = manifolds(known, samples, neighbours=3)
    far[what] = frechet_distance(known, samples)
    if not run.model.deterministic:
        nats[what] = run.evaluate(test, k=lab.pick(20, 100)).likelihood
        lab.claim("A61", f"negative log-likelihood, {what}", -nats[what].value, unit="nats",
                  stderr=nats[what].data_stderr)  # fmt: skip
    for name in ("precision", "recall"):
        part = getattr(quality[what], name)
        lab.claim("A61", f"{name} of samples, {what}", part.value, stderr=part.stderr)
    lab.claim("A61", f"squared Frechet distance of samples, {what}", far[what].value,
              stderr=far[what].stderr)  # fmt: skip
    lab.claim("A61", f"time of a sample, {what}", speed[what], "< 10", unit="ms")
lab.claim("A61", "precision of held-out data", quality["held-out data"].precision.value)
lab.claim("A61", "squared Frechet distance of held-out data", far["held-out data"].value)
more = difference(nats["iwae, k = 5"], nats["vae"])
lab.claim("A61", "log-likelihood, iwae less vae", more.value, unit="nats",
          stderr=more.data_stderr)  # fmt: skip

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 3), layout="constrained", sharey=True)
rows = list(runs)
at = [rows.index(what) for what in nats]
costs, errors = [-e.value for e in nats.values()], [e.data_stderr for e in nats.values()]
axes[0].errorbar(costs, at, xerr=errors, fmt="o", color="C0", capsize=3)
axes[0].text(0.5, rows.index("ae + mixture"), "has none", va="center", ha="center", fontsize=9,
             transform=axes[0].get_yaxis_transform())  # fmt: skip
axes[0].set_yticks(range(len(rows)), rows)
axes[0].set(xlabel="-log p of test data (nats)", title="3 epochs each")
axes[0].title.set_fontsize(10)
for shift, what, color in ((-0.15, "precision", "C1"), (0.15, "recall", "C2")):
    parts = {name: getattr(q, what) for name, q in quality.items()}
    axes[1].errorbar([parts[r].value for r in rows], [j + shift for j in range(len(rows))],
                     xerr=[parts[r].stderr for r in rows], fmt="o", color=color, capsize=3,
                     label=what)  # fmt: skip
    axes[1].axvline(parts["held-out data"].value, color=color, linestyle="--")
axes[1].set(xlabel="samples")
axes[1].legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
axes[2].errorbar([far[r].value for r in rows], range(len(rows)), xerr=[far[r].stderr for r in rows],
                 fmt="o", color="C3", capsize=3)  # fmt: skip
axes[2].axvline(far["held-out data"].value, color="C3", linestyle="--")
axes[2].set(xlabel="Frechet distance²\n(dashed: held-out data)")
axes[3].plot([speed[r] for r in rows], range(len(rows)), "o", color="C4")
axes[3].set(xlabel="time of a sample (ms)", xlim=(0, 1.15 * max(speed.values())))
for ax in axes:
    ax.grid(True, axis="y", color="0.92")
axes[0].set_ylim(len(rows) - 0.5, -0.5)
lab.finish()
