r"""
What a decoder's layers know
============================

The tutorial imagines that the first layers of a decoder map the normal z to the latent factors, the
digit and its style, and that the later ones render these. If that is so, the digit should be
*easier to read* behind a few layers than in z itself. Here a linear classifier (a probe) reads it,
in z, behind each layer, and in the picture.

**In the notes** it is said as if every network did so. It is a picture of what one *could* do. A
probe needs a control: a wide random layer makes classes linearly separable, too, without having
learned anything. Only what exceeds the same decoder *before training* was learned.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import diabolo

lab = Experiment("layers")
BITS = lab.pick("no", "dynamic")  # scikit-learn's digits are small, and keep their grey levels
NET = lab.pick("mlp(hidden=(64, 64, 64))", "mlp(hidden=(256, 256, 256))")
settings = {
    "binarize": BITS,
    "latent": lab.pick(8, 16),
    "net": NET,
    "batch_size": lab.pick(64, 256),
    "prior": "normal",
    "optimizer": "adam",
    "precision": "float32",
    **lab.source,
}
name, rate = lab.pick("digits", "mnist"), lab.pick(5e-3, 1e-3)
run = diabolo.fit(name, "vae", epochs=lab.pick(15, 20), learning_rate=rate, **settings).to("cpu")

# %%
# The outputs of all layers, for the mean code of each image. The control is a decoder with the
# weights that it had before the first step (those of the same start, trained at no speed), which
# reads the same codes.

train, test = run.data("train"), run.data("test")
train = train.take(torch.arange(lab.pick(1000, 6000)))
test = test.take(torch.arange(min(len(test), lab.pick(400, 3000))))
untrained = diabolo.fit(name, "vae", epochs=1, learning_rate=1e-9, **settings).to("cpu")


def layers(net: torch.nn.Module, z: torch.Tensor) -> list[np.ndarray]:
    """z, what each activation of the decoder gives, and the picture's logits, each (N, width)."""
    kept = [z]
    hooks = [
        part.register_forward_hook(lambda _, __, out: kept.append(out))
        for part in net.body
        if not isinstance(part, torch.nn.Linear)
    ]
    with torch.no_grad():
        kept.append(net(z, None).flatten(1))
    for hook in hooks:
        hook.remove()
    return [k.numpy() for k in kept]


def codes(data: diabolo.Data) -> torch.Tensor:
    with torch.no_grad():
        return run.model.encode(data.batch(torch.arange(len(data))).x)[0]


def probed(net: torch.nn.Module) -> np.ndarray:
    """Whether a linear probe of each layer (L) reads each test image (N) right, (L, N)."""
    found = []
    for a, b in zip(layers(net, codes(train)), layers(net, codes(test)), strict=True):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=lab.pick(100, 200)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(a, train.labels.numpy())
        found.append(probe.predict(b) == test.labels.numpy())
    return np.array(found).astype(float)


def share(right: np.ndarray) -> dict[str, float]:
    """The mean over test images and its error, the probe and the models being given."""
    return {"value": right.mean(), "stderr": right.std() / len(right) ** 0.5}


decoders = {"trained": run, "untrained": untrained}
right = {kind: probed(r.model.likelihood.net) for kind, r in decoders.items()}
learned, control = (r.mean(1) for r in right.values())
NAMES = ["z", *(f"layer {i + 1}" for i in range(len(learned) - 2)), "picture"]
lab.claim(
    "A15", "linear probe of z itself; one in ten is chance", **share(right["trained"][0]),
    threshold=">= 0.3",
)  # fmt: skip
for i, layer in enumerate(NAMES[1:], 1):
    for kind, r in right.items():
        lab.claim("A15", f"linear probe of the digit, {layer}: {kind} decoder", **share(r[i]))

# %%
# The first layer does read more easily than z. But so does that of the untrained decoder: what is
# gained is the width and the bend of a layer, and nothing that was learned. Nor is there a reason
# to: the bound asks for a likely picture at the end, and for no order on the way. Differences are
# taken image by image.

best = {kind: r[1 + r[1:-1].mean(1).argmax()] for kind, r in right.items()}
for kind, r in best.items():
    lab.claim("A15", f"best layer of the {kind} decoder less z", **share(r - right[kind][0]))
lab.claim("A15", "best layer, trained less untrained", **share(best["trained"] - best["untrained"]))

# %%

figure, (a, b) = plt.subplots(1, 2, figsize=(8.5, 3.5), width_ratios=[1.3, 1])
a.plot(100 * learned, marker="o", label="trained decoder")
a.plot(100 * control, marker="s", ls="--", color="0.5", label="same codes, untrained decoder")
a.set(xticks=range(len(NAMES)), xticklabels=NAMES, ylabel="digit read by a linear probe, %")
a.legend(fontsize=8)
last = layers(run.model.likelihood.net, codes(test))[-2]
last = last - last.mean(0)
flat = last @ np.linalg.svd(last, full_matrices=False)[2][:2].T
marks = b.scatter(*flat.T, c=test.labels, cmap="tab10", s=4, vmin=-0.5, vmax=9.5)
figure.colorbar(marks, ax=b, ticks=range(10), label="digit")
b.set(xticks=[], yticks=[], title=f"{NAMES[-2]}: two principal components")
b.title.set_fontsize(10)
figure.tight_layout()
lab.finish()
