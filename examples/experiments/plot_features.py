r"""
Throw the decoder away, keep the encoder
========================================

Labels are dear, images are not. A model of images alone, trained on all of them, leaves an encoder
whose code a classifier may read; a hundred labels, ten of each digit, must then do. Either the
encoder stays as it is and a classifier is put on its means, or a network starts from its weights
and is trained on.

The notes say that the encoder may be reused. Whether that pays depends on what it is compared
with, so the same classifiers read pixels and principal components, and the same network starts
from random weights. The row asks 85 % of a linear classifier on the code; it comes to 82 or 83 %
here, 15 points more than on pixels. Which hundred images are labelled moves a number by a few
points, and so all are means over several draws of them.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import diabolo

lab = Experiment("features")
WIDTH, DRAWS = lab.pick(10, 16), lab.pick(2, 10)

# %%
# A VAE sees every training image and no label.

run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "vae",
    latent=WIDTH,
    net=lab.pick("mlp(hidden=(128,))", "mlp(hidden=(512, 256))"),
    epochs=lab.pick(25, 15),
    batch_size=lab.pick(64, 128),
    minutes=None,
    ema=0,
    optimizer="adam",
    precision="float32",
    **lab.source,
    **lab.pick({}, {"binarize": "dynamic"}),
).to("cpu")


def read(split, most):
    data = run.data(split)
    data = data.take(torch.arange(min(most, len(data))))
    x = data.batch(torch.arange(len(data))).x
    with torch.no_grad():
        return x, run.model.encode(x)[0].numpy(), data.labels.numpy()


(x, codes, y), (x_test, codes_test, y_test) = read("train", 20_000), read("test", 5000)
pixels, pixels_test = x.flatten(1).numpy(), x_test.flatten(1).numpy()
pca = PCA(WIDTH, random_state=0).fit(pixels)
SEEN = {
    "pixels": (pixels, pixels_test),
    "PCA": (pca.transform(pixels), pca.transform(pixels_test)),
    "VAE": (codes, codes_test),
}


def network(pretrained):
    """A classifier whose hidden layers are an encoder's: trained, or as it began."""
    source = run.recipe if pretrained else diabolo.build("vae", run.spec, **run.config.options)
    net = copy.deepcopy(source.model.latent.posterior.net)
    return nn.Sequential(net.body, nn.Linear(net.head.in_features, 10))


def trained(net, rows):
    """Trains a classifier on labelled rows; returns its accuracy on the test images."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(lab.pick(60, 150)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            net(x[rows].flatten(1)), torch.from_numpy(y[rows]).long()
        )
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (net(x_test.flatten(1)).argmax(1).numpy() == y_test).mean()


# %%
# Every draw of labels is the same for all.

right = {}
for draw in range(DRAWS):
    rng = np.random.default_rng(draw)
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:10] for c in range(10)])
    for name, (seen, unseen) in SEEN.items():
        for how, classifier in (
            ("logistic", LogisticRegression(max_iter=1000)),
            ("SVM", SVC(C=10)),
        ):
            probe = make_pipeline(StandardScaler(), classifier).fit(seen[rows], y[rows])
            right.setdefault(f"{name}, {how}", []).append(probe.score(unseen, y_test))
    for name, pretrained in (("random start", False), ("encoder's start", True)):
        torch.manual_seed(draw)
        right.setdefault(f"network, {name}", []).append(trained(network(pretrained), rows))

mean = {name: 100 * np.mean(found) for name, found in right.items()}
spread = {name: 100 * np.std(found, ddof=1) for name, found in right.items()}
for name in right:
    judged = ">= 85" if name == "VAE, logistic" else None
    lab.claim(
        "A42",
        name,
        mean[name],
        judged,
        quick=judged and ">= 70",
        unit="%",
        stderr=spread[name] / DRAWS**0.5,
    )
pairs = np.subtract(right["network, encoder's start"], right["network, random start"]) * 100
lab.claim(
    "A42",
    "network, encoder's start - random start",
    pairs.mean(),
    ">= 5",
    only_full=True,
    unit="points",
    stderr=pairs.std(ddof=1) / DRAWS**0.5,
)

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
names = sorted(mean, key=mean.get)
colors = ["C1" if "VAE" in n or "encoder" in n else "0.5" for n in names]
for i, (name, color) in enumerate(zip(names, colors, strict=True)):
    axes.errorbar(mean[name], i, xerr=spread[name], fmt="o", color=color, capsize=3)
axes.axvline(85, color="k", linestyle=":", label="asked of a linear classifier on the code")
axes.set_yticks(range(len(names)), names)
axes.set(xlabel=f"test images told right (%): mean and spread of {DRAWS} draws of 100 labels")
axes.legend(frameon=False, fontsize=8, loc="upper left")
axes.grid(axis="x", color="0.9")
lab.finish(figure)
