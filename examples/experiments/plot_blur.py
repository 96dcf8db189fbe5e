"""
Blur, and what lessens it
=========================

Samples of a VAE are said to be blurred. What is shown is mostly the *mean* of p(x | z), and the
mean is blurred as far as the code leaves the picture open. How far that is follows from the output:
with a fixed :math:`\\sigma = 1` on grey values between 0 and 1, an error of a pixel costs next to
nothing, a code is not worth its rate, and the mean is a blur.

**Where the notes are short.** They lay blur to the VAE, against adversarial models. A part of it
is the doing of a badly chosen :math:`\\sigma`, the same knob as in the experiment on sigma: where
it is optimal for the data, reconstructions are almost four times as sharp. They still have less
than a third of the sharpness of the data (the variance of the Laplacian), so that blur is lessened
here, not removed. A hierarchy of latents, which is said to be another way, adds nothing at the same
:math:`\\sigma` in so short a training.
"""

import matplotlib.pyplot as plt
import torch
from experiment import Experiment
from sklearn.datasets import load_digits

import diabolo
from diabolo.evaluate import sharpness

lab = Experiment("blur")
FIXED, OPTIMAL = "Normal(scale=1.0)", "Normal(scale=optimal)"
models = {
    "sigma = 1": ("vae", {"likelihood": FIXED, "latent": 20}),
    "sigma = 0.3": ("vae", {"likelihood": "Normal(scale=0.3)", "latent": 20}),
    "optimal\nsigma": ("vae", {"likelihood": OPTIMAL, "latent": 20}),
    "hierarchy,\noptimal": ("ladder", {"likelihood": OPTIMAL, "latent": 10}),
}
runs = {}
for what, (recipe, options) in models.items():
    runs[what] = diabolo.fit(
        lab.pick(load_digits().images / 16, "mnist"),
        recipe,
        **options,
        **({"prior": "normal"} if recipe == "vae" else {}),
        net=lab.pick("mlp(hidden=(128,))", "mlp(hidden=(256, 256), activation=gated)"),
        support="unit",
        binarize="no",
        epochs=lab.pick(7, 5),
        batch_size=lab.pick(64, 250),
        learning_rate=lab.pick(4e-3, 2e-3),
        schedule="cosine",
        **lab.source,
    ).to("cpu")

# %%
# **Sharpness.** Each picture is filtered with the Laplacian; its variance over the pixels is large
# where there are edges. It takes speckle for edges too: samples from places of the prior where no
# codes of data lie can be called sharp for that, as those of the optimal sigma are here. So
# reconstructions are judged, samples are told, and the pictures have to be looked at.

first = runs["sigma = 1"]
test = (first.data("test") or first.data("valid")).take(torch.arange(lab.pick(170, 300)))
x = test.batch(torch.arange(len(test))).x
real = float(sharpness(x).mean())
shown, ratio = {"data": x}, {}
for what, run in runs.items():
    with torch.no_grad():
        torch.manual_seed(0)
        samples = run.model.sample(300).mean
        rebuilt = run.model.decode(run.model.encode(x)[0]).mean
    shown[what] = samples
    ratio[what] = [float(sharpness(i).mean()) / real for i in (rebuilt, samples)]
    name = what.replace("\n", " ")
    lab.claim("A52", f"sharpness of reconstructions / data, {name}", ratio[what][0])
    lab.claim("A52", f"sharpness of means of samples / data, {name}", ratio[what][1])

# %%
# **The blur is there, and part of it goes.** The hierarchy is held against the plain model at the
# same, optimal sigma: beside sigma = 1 it would be given credit for what sigma does.

again = {what.replace("\n", " "): r[0] for what, r in ratio.items()}
blurred, best = again["sigma = 1"], again["optimal sigma"]
lab.claim("A52", "the blur: sharpness of reconstructions / data at sigma = 1", blurred, "<= 0.5")
for what in ("sigma = 0.3", "optimal sigma"):
    lab.claim("A52", f"less blur: reconstructions, {what} / sigma = 1", again[what] / blurred,
              ">= 1.5", given="removed",
              changed="lessened: far from the sharpness of the data")  # fmt: skip
lab.claim("A52", "reconstructions, hierarchy / plain, both at the optimal sigma",
          again["hierarchy, optimal"] / best)  # fmt: skip

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=(1.7, 1))
lines = [torch.nn.functional.pad(s[:12, 0], (1, 1, 1, 1)) for s in shown.values()]
sheet = torch.cat([p.permute(1, 0, 2).flatten(1) for p in lines])
axes[0].imshow(sheet, cmap="gray_r", vmin=0, vmax=1)
high = lines[0].shape[-1]
axes[0].set(xticks=[], yticks=[(i + 0.5) * high for i in range(len(lines))])
axes[0].set_yticklabels(list(shown), fontsize=9)
axes[0].set_title("data, and means of p(x | z) for z from the prior", fontsize=10)
at = range(len(ratio))
for shift, (i, what) in zip(
    (-0.2, 0.2), enumerate(("reconstructions", "samples,\nspeckle too")), strict=True
):
    axes[1].bar([a + shift for a in at], [r[i] for r in ratio.values()], 0.38, label=what)
axes[1].axhline(1, color="0.5", linestyle="--")
axes[1].set_xticks(list(at), list(ratio), fontsize=7.5)
axes[1].set(ylabel="sharpness / that of the data")
axes[1].legend(frameon=False, fontsize=8, loc="center left")
lab.finish()
