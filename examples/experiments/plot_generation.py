r"""
An autoencoder cannot generate, until its codes have a density
==============================================================

A VAE is asked for new images by decoding :math:`z \sim N(0, I)`. An autoencoder decodes such codes
to nothing in particular, for nobody ever told it where codes should lie. The notes conclude that
autoencoders cannot generate new images.

What they lack is a density of codes, and no more. Fitted to the codes of the training images once
the autoencoder is trained, a normal density helps, and a mixture of ten makes it generate (Ghosh
et al., 2020). In Diabolo that is `refit`. How good samples are is told by a Frechet distance:
between normal densities fitted to features of samples and of test images. The features are those
of a small classifier trained here, not of Inception, so that the numbers compare within this page
only.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo.evaluate import frechet_distance

lab = Experiment(__file__)
N = lab.pick(500, 5000)
OPTIONS = {
    "latent": 16,
    "net": lab.pick("mlp(hidden=(128,))", "mlp(hidden=(512, 256))"),
    "batch_size": lab.pick(64, 128),
    "minutes": None,
    "ema": 0,
    "optimizer": "adam",
    "precision": "float32",
    "support": "unit",
    "likelihood": "Normal(scale=shared)",
    **lab.source,
}
SOURCE, EPOCHS = lab.pick("digits", "mnist"), lab.pick(20, 6)

# %%
# The same network with and without a prior, and the autoencoder with a density fitted to its codes.

ae = diabolo.fit(SOURCE, "ae", epochs=EPOCHS, **OPTIONS)
vae = diabolo.fit(SOURCE, "vae", epochs=EPOCHS, **OPTIONS)
normal = ae.refit(prior="gaussian")
mixture = ae.refit(prior="mixture(components=10)")
codes = np.random.default_rng(0).standard_normal((N, 16)).astype(np.float32)


def drawn(run):
    with torch.no_grad():
        torch.manual_seed(0)
        return run.model.sample(N).mean


def split(name):
    data = ae.data(name)
    return data.batch(torch.arange(len(data))).x, data.labels.long()


with torch.no_grad():
    samples = {
        "autoencoder, N(0, I)": ae.model.decode(torch.from_numpy(codes)).mean,
        "autoencoder, normal": drawn(normal),
        "autoencoder, mixture of 10": drawn(mixture),
        "VAE": drawn(vae),
    }

# %%
# A classifier of one hidden layer, whose 64 hidden numbers are the features.

(x, y), (x_test, y_test) = split("train"), split("test")
torch.manual_seed(0)
hidden = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 64), nn.GELU())
classifier = nn.Sequential(hidden, nn.Linear(64, 10))
optimizer = torch.optim.Adam(classifier.parameters(), lr=2e-3)
for _ in range(lab.pick(15, 4)):
    for rows in torch.randperm(len(x)).split(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(x[rows]), y[rows]).backward()
        optimizer.step()


with torch.no_grad():
    real = hidden(x_test[:N])
    images = samples | {"training images": x[:N]}
    found = {name: frechet_distance(real, hidden(i)) for name, i in images.items()}
    right = (classifier(x_test).argmax(1) == y_test).double().mean()
print(f"the classifier tells {right:.1%} of test images right")

best = found["VAE"]
asked = {"autoencoder, N(0, I)": (">= 2", ">= 1.5"), "autoencoder, mixture of 10": ("<= 1", "<= 2")}
for name, distance in found.items():
    told = f"{name}: squared Frechet distance on own features"
    lab.claim("A43", told, distance.value, stderr=distance.stderr)
for name, (full, quick) in asked.items():
    extra = {} if "N(0" in name else {"given": "repaired by a density", "changed": "made a number"}
    told = f"{name}: Frechet distance / the VAE's"
    lab.claim("A43", told, found[name].value / best.value, full, quick=quick, **extra)

figure = plt.figure(figsize=(9, 3.6), layout="constrained")
left, right_half = figure.subfigures(1, 2, width_ratios=(1.5, 1))
for row, (name, images) in zip(left.subplots(4, 8), samples.items(), strict=True):
    for a, image in zip(row, images, strict=False):
        a.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
        a.set(xticks=[], yticks=[])
    row[0].set_ylabel(name.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8)
axes = right_half.subplots()
axes.barh(list(found), [d.value for d in found.values()], color=["C3", "C1", "C1", "C0", "0.7"])
axes.invert_yaxis()
axes.tick_params(axis="y", labelsize=8)
axes.set(xlabel="Frechet distance to test images", xscale="log")

lab.finish(figure)
