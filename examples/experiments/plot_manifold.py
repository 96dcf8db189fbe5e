"""
The manifold, and what makes it smooth
======================================

With two latents the whole model is a map: a grid over the plane of z, even in probability by the
inverse CDF of the normal prior, decoded to a page of digits. Neighbours on the page look alike, and
each digit has its region.

**Where the notes are wrong.** They say that outputs vary smoothly *because of the prior*, and that
the KL places similar digits together. A decoder is a continuous function, so that there are no
jumps under any prior, and none before training; an autoencoder, which has no prior at all, gives a
page as even as a VAE's. Codes with noise ask for more of it: a picture must still be right a little
beside its code. The prior has another merit: it says *where* the codes are, so that a grid of its
quantiles meets digits and no empty land. Similar digits lie together because a code that is not
exact is cheapest where confusions are harmless, which is the reconstruction's doing: an autoencoder
without any KL separates digits as well.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier

import diabolo
from diabolo.evaluate import aggregate_posterior

lab = Experiment("manifold")
options = {
    "latent": 2,
    "net": lab.pick("mlp(hidden=(128, 128))", "mlp(hidden=(512, 512), activation=gated)"),
    "prior": "normal",
    "binarize": "dynamic",
    "schedule": "cosine",
    "learning_rate": lab.pick(5e-3, 2e-3),
    "epochs": lab.pick(25, 7),
    "batch_size": lab.pick(64, 256),
    "precision": lab.pick("float32", "bf16"),
    **lab.source,
}
name = lab.pick("digits", "mnist")
vae = diabolo.fit(name, "vae", **options)
ae = diabolo.fit(name, "ae", **{k: v for k, v in options.items() if k != "prior"})
train = vae.data("train").take(torch.arange(lab.pick(1294, 10_000)))
test = vae.data("test").take(torch.arange(lab.pick(359, 5000)))

# %%
# **The page.** 20 x 20 quantiles of the prior, decoded. Who reads it is a classifier of pixels,
# which has seen training images only.

STEPS = 20
levels = (np.arange(STEPS) + 0.5) / STEPS


def page(run, across, up):
    z = np.stack(np.meshgrid(across, up[::-1]), -1).reshape(-1, 2)
    pictures = run.decode(z.astype(np.float32)).astype(float)
    return pictures.reshape(STEPS, STEPS, *vae.schema.shape)


def steps(x):
    """The distances of all neighbours on a page, side by side and one above the other."""
    sides = np.diff(x, axis=0), np.diff(x, axis=1)
    return np.concatenate([np.sqrt((d**2).sum((-1, -2))).ravel() for d in sides])


quantiles = norm.ppf(levels)
grid = page(vae, quantiles, quantiles)
moves = steps(grid)
lab.claim("A51", "largest step between neighbours / the median one",
          moves.max() / np.median(moves), "<= 4", quick="<= 8")  # fmt: skip
pixels = train.decoder.mean(train.x).flatten(1).numpy()
reader = KNeighborsClassifier(5).fit(pixels, train.labels)
read = reader.predict(grid.reshape(STEPS**2, -1) / max(1.0, grid.max()))
lab.claim("A51", "digits that appear on the page", len(set(read)), ">= 10", quick=">= 8")

# %%
# **What makes it smooth.** The same page of a decoder that was never trained, and of an
# autoencoder, which has no prior (its grid is even in its own codes) and no noise in its codes.
# Both are without jumps.

fresh = diabolo.fit(name, "vae", **options | {"epochs": 1, "learning_rate": 1e-9})
codes = {"VAE": vae.encode(test), "autoencoder": ae.encode(test)}
own = [np.quantile(codes["autoencoder"][:, i], levels) for i in range(2)]
pages = {"untrained": page(fresh, quantiles, quantiles), "autoencoder": page(ae, *own)}
for kind, x in pages.items():
    d = steps(x)
    lab.claim("A51", f"largest step / median, {kind}", d.max() / np.median(d), "<= 8", given="<= 4",
              changed="the row's is for a trained VAE; twice as much is no jump")  # fmt: skip

# %%
# **Another code, another picture.** Each element moves alone, the other stays: the ends of a
# traversal are as far apart as two digits.

images = test.decoder.mean(test.x).flatten(1)[:200]
usual = float(torch.pdist(images).mean()) * max(1.0, float(grid.max()))
ways = vae.traverse(dims=[0, 1], steps=9, span=2).astype(float)
ends = np.sqrt(((ways[:, 0] - ways[:, -1]) ** 2).sum((-1, -2)))
lab.claim("A54", "ends of a traversal / two test images, distance, the lesser element",
          ends.min() / usual, ">= 0.3")  # fmt: skip

# %%
# **Similar digits close, and diverse enough.** Whether the five nearest codes have the same label,
# for both; and how far all codes together are from the prior.

accuracy = {}
for kind, run in (("VAE", vae), ("autoencoder", ae)):
    known = KNeighborsClassifier(5).fit(run.encode(train), train.labels)
    accuracy[kind] = known.score(codes[kind], test.labels)
    lab.claim("A56", f"kNN(5) accuracy of two-dimensional codes, {kind}", accuracy[kind])
lab.claim("A56", "kNN accuracy, autoencoder less VAE: it needs no KL",
          accuracy["autoencoder"] - accuracy["VAE"], ">= -0.1")  # fmt: skip
whole = aggregate_posterior(vae.model, test.take(torch.arange(lab.pick(359, 2000))))
lab.claim("A56", "KL(q(z) || p(z)) of the VAE", whole.divergence, "<= 1", unit="nats")
lab.claim("A56", "information of a code about its datum", whole.information.value, unit="nats")

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.5), layout="constrained")
sheet = grid.transpose(0, 2, 1, 3).reshape(STEPS * grid.shape[2], -1)
axes[0].imshow(sheet, cmap="gray_r")
axes[0].set(xticks=[], yticks=[], xlabel="$z_0$", ylabel="$z_1$")
axes[0].set_title("p(x | z) at even quantiles of the prior", fontsize=10)
for ax, kind in zip(axes[1:], codes, strict=True):
    z = codes[kind]
    points = ax.scatter(*z.T, c=test.labels, cmap="tab10", s=lab.pick(8, 2), vmin=-0.5, vmax=9.5)
    ax.set_title(f"codes of the {kind}: kNN {accuracy[kind]:.0%}", fontsize=10)
    ax.set(xlabel="$z_0$", ylabel="$z_1$")
axes[1].set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
figure.colorbar(points, ax=axes[2], ticks=range(10), label="digit")
lab.finish()
