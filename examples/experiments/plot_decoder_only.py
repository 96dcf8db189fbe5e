"""
Drop the encoder
================

At test time a VAE needs its encoder no more: a code is drawn from the prior N(0, I) and goes
through the decoder. The decoder :math:`f(z)` is a function without chance, the code is random, and
so the picture is.

**Where the notes are right, and short.** They say to sample x from p(x | z), while most pictures
in papers, and most code, show its mean. Both are to be had, and they are not the same thing: a draw
of bits looks grainy and is what the model claims that data are; the mean is a picture of
probabilities.

Here the decoder's weights alone are written into a file. A second decoder, built with other random
weights, reads them, and makes the same pictures to the last bit without an encoder.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from safetensors.torch import load_file, save_file

import diabolo
from diabolo.noise import KeyedNoise
from diabolo.recipes import RECIPES

lab = Experiment("decoder_only")
run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "vae",
    latent=lab.pick(8, 20),
    net=lab.pick("mlp(hidden=(128, 128))", "mlp(hidden=(512, 512), activation=gated)"),
    prior="normal",
    binarize="dynamic",
    epochs=lab.pick(15, 4),
    batch_size=lab.pick(64, 250),
    learning_rate=2e-3,
    schedule="cosine",
    precision=lab.pick("float32", "bf16"),
    **lab.source,
).to("cpu")

# %%
# **f(z) is deterministic.** The same codes are decoded twice.

rows = torch.arange(1000)
z = KeyedNoise(0, rows, lead=1).normal((1000, run.latent), torch.zeros(()))
once, twice = run.decode(z), run.decode(z)
lab.claim("A9", "largest difference of two decodings of 1,000 codes", abs(once - twice).max(),
          "<= 0")  # fmt: skip
lab.claim("A9", "largest spread of a pixel from code to code, in grey levels of 1",
          (once / once.max()).std(0).max(), "> 0.1")  # fmt: skip

# %%
# **The decoder alone.** What the file holds, and how much of the whole model that is.

weights = run.model.likelihood.state_dict()
part = sum(w.numel() for w in weights.values()) / sum(p.numel() for p in run.model.parameters())
print(f"the decoder is {part:.0%} of the model's numbers")
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "decoder.safetensors"
    save_file(weights, file)
    # A fresh decoder of the same kind, with random weights until the file is read.
    decoder = RECIPES.load("vae")(run.spec, **run.config.options).model.likelihood.eval()
    with torch.no_grad():
        untrained = decoder(z).mean
        decoder.load_state_dict(load_file(file))

# %%
# One source of noise draws z and then x: for the whole model, and for the decoder alone.

with torch.no_grad():
    noise = KeyedNoise(0, rows, lead=1)
    whole = run.model.sample(1000, noise=noise)
    pictures = {"whole model": (whole.mean, whole.sample((), noise))}
    noise = KeyedNoise(0, rows, lead=1)
    alone = decoder(noise.normal((1000, run.latent), z))
    pictures["decoder alone"] = alone.mean, alone.sample((), noise)
for name, a, b in zip(("means", "draws"), *pictures.values(), strict=True):
    same = float((a == b).double().mean())
    lab.claim("A31", f"numbers of 1,000 {name} that are equal to the bit", same, ">= 1")
other = float((untrained - alone.mean).abs().mean())
lab.claim("A31", "difference from a decoder that has not read the file", other, "> 0.01")

# %%
# Means and draws have the same ink on average, but not the same look: pixels of a draw are 0 or 1.

mean, draw = pictures["decoder alone"]
lab.claim("A31", "ink of the draws / ink of the means", draw.mean() / mean.mean(),
          "within 0.02 of 1")  # fmt: skip
grey = float(((mean > 0.1) & (mean < 0.9)).double().mean())
lab.claim("A31", "part of the pixels of means that are between 0.1 and 0.9", grey)

# %%
figure, axes = plt.subplots(4, 1, figsize=(8, 3.1), layout="constrained")
shown = [(name, *pair) for name, pair in pictures.items()]
rows_of = [(f"{kind},\n{name}", pair[i]) for name, *pair in shown for i, kind in
           enumerate(("means", "draws"))]  # fmt: skip
for ax, (name, x) in zip(axes, rows_of, strict=True):
    line = np.concatenate([np.pad(p[0].numpy(), 1) for p in x[:14]], 1)
    ax.imshow(line, cmap="gray_r")
    ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    ax.set(xticks=[], yticks=[])
axes[0].set_title("The same codes through the whole model, and through a file of the decoder alone")
lab.finish()
