"""
The bits view
=============

A VAE is a code for data. To send x one sends z, as exactly as the posterior knows it, and then x
given z. The first costs the *rate*, :math:`\\mathrm{KL}(q(z \\mid x) \\| p(z))`, the second the
*distortion*, :math:`-\\log p(x \\mid z)`; both in bits when they are divided by ln 2. That the rate
is so low takes a trick: the choice of z among those that would do is itself paid back, since it can
carry other bits (*bits back*). What remains too long is
:math:`\\mathrm{KL}(q(z \\mid x) \\| p(z \\mid x))`, the gap between bound and likelihood.

**Where the notes are wrong.** They say that when the standard deviation of q rises to 1, *less
information is lost*. Noise rises and the code tells less: at (0, 1) it costs nothing and says
nothing. What is less is the price.

Here a stack of integers (asymmetric numeral systems) does it for good: real images become one
number, whose length is counted, and are read from it again, bit for bit. The first images need bits
to borrow, 4,001 random ones here. They come back as they were, but the file has to hold them: they
count for much of a short file, and vanish beside many images.
"""

import zlib

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from scipy.special import ndtr, ndtri

import diabolo
from diabolo.evaluate import bound, log_likelihood

lab = Experiment("bits")
run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "vae",
    latent=lab.pick(4, 20),
    net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(512, 512), activation=gated)"),
    prior="normal",
    binarize="dynamic",
    epochs=lab.pick(20, 4),
    batch_size=lab.pick(64, 250),
    learning_rate=lab.pick(5e-3, 2e-3),
    schedule="cosine",
    precision=lab.pick("float32", "bf16"),
    **lab.source,
).to("cpu")
model = run.model
test = run.data("test").take(torch.arange(lab.pick(100, 500)))
x = test.batch(torch.arange(len(test))).x
BIT = float(np.log(2))

# %%
# **Rate, distortion and the gap**, in bits an image.

found, likelihood = bound(model, test, samples=64), log_likelihood(model, test, k=500)
rate, distortion = found.rate[0].value / BIT, found.distortion.value / BIT
gap = (likelihood.value - found.elbo.value) / BIT
lab.claim("A62", "rate", rate, unit="bits")
lab.claim("A62", "distortion", distortion, unit="bits")
lab.claim("A62", "what bits back cannot save: KL(q || posterior), by k = 500", gap, ">= 0",
          unit="bits")  # fmt: skip

# %%
# **The codec.** The state is one large integer. `push` adds a symbol of probability f / 2^24 and
# makes it longer by that many bits; `pop` takes a symbol off, which is drawn by its probability if
# what lies there is random. z lives in 2^10 bins of equal prior probability.

M, BINS = 1 << 24, 1 << 10
edges, centres = ndtri(np.arange(BINS + 1) / BINS), ndtri((np.arange(BINS) + 0.5) / BINS)


def push(state, start, size):
    return (state // size) * M + start + state % size


def pop(state, starts):
    at = state % M
    i = int(np.searchsorted(starts, at, side="right")) - 1
    size = int(starts[i + 1] - starts[i])
    return size * (state // M) + at - int(starts[i]), i


def posterior(image):
    mean, variance = (t[0].double().numpy() for t in model.encode(image[None]))
    share = ndtr((edges[None] - mean[:, None]) / np.sqrt(variance)[:, None])
    return (share * (M - BINS)).astype(np.int64) + np.arange(BINS + 1)  # no bin is empty


def zeros(bins):
    z = torch.tensor(centres[bins], dtype=torch.float32)[None]
    p = model.decode(z).mean[0].flatten().double().numpy()
    return np.round((1 - p) * (M - 2)).astype(np.int64) + 1


@torch.no_grad()
def encode(state, image):
    bins = []
    for starts in posterior(image):  # bits back
        state, i = pop(state, starts)
        bins.append(i)
    for bit, zero in zip(image.flatten().int().tolist(), zeros(bins).tolist(), strict=True):
        state = push(state, zero, M - zero) if bit else push(state, 0, zero)
    for i in bins:
        state = push(state, i * (M // BINS), M // BINS)
    return state


@torch.no_grad()
def decode(state):
    bins = []
    for _ in range(run.latent):
        at = state % M
        i = at // (M // BINS)
        state = (M // BINS) * (state // M) + at % (M // BINS)
        bins.append(i)
    bins, bits = bins[::-1], []
    for zero in zeros(bins).tolist()[::-1]:
        at = state % M
        bits.append(int(at >= zero))
        size, start = (M - zero, zero) if bits[-1] else (zero, 0)
        state = size * (state // M) + at - start
    image = torch.tensor(bits[::-1], dtype=x.dtype).view_as(x[0])
    for i, starts in zip(bins[::-1], posterior(image)[::-1], strict=True):
        state = push(state, int(starts[i]), int(starts[i + 1] - starts[i]))
    return state, image


first = int.from_bytes(np.random.default_rng(0).bytes(500), "big") | 1 << 4000
state, lengths = first, []
for image in x:
    before = state.bit_length()
    state = encode(state, image)
    lengths.append(state.bit_length() - before)
grown = (state.bit_length() - first.bit_length()) / len(x)
whole = state.bit_length() / len(x)
back, wrong = state, 0
for image in reversed(x):
    back, again = decode(back)
    wrong += int((again != image).sum())
lab.claim("A62", "bits of the images that come back wrong", wrong, "<= 0")
lab.claim("A62", "bits that were there before, come back wrong", int(back != first), "<= 0")
lab.claim("A62", "bits that the file grows by, an image", grown, unit="bits")
off = abs(grown / (rate + distortion) - 1)
lab.claim("A62", "|bits that the file grows by / (rate + distortion) - 1|", off, "<= 0.01",
          quick="<= 0.05", given="file length within 1 %",
          changed="the first bits are borrowed: over many images they vanish")  # fmt: skip
lab.claim("A62", "whole file with the bits borrowed, an image", whole, unit="bits")
lab.claim("A62", "whole file / (rate + distortion) - 1", whole / (rate + distortion) - 1)

# %%
# The whole file, beside that of a general compressor, which gets all images at once.

packed = np.packbits(x.flatten().numpy().astype(np.uint8))
zipped = len(zlib.compress(packed.tobytes(), 9)) * 8 / len(x)
lab.claim("A62", "whole file / that of zlib, all images at once", whole / zipped, "< 1",
          only_full=True)  # fmt: skip

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
axes[0].barh(["zlib", "this file", "bound"], [zipped, grown, 0], color="C1")
axes[0].barh("this file", whole - grown, left=grown, color="0.7", label="borrowed bits")
axes[0].barh("bound", distortion, color="C0", label="distortion")
axes[0].barh("bound", rate - gap, left=distortion, color="C2", label="rate, without the gap")
axes[0].barh("bound", gap, left=distortion + rate - gap, color="C3", label="gap")
axes[0].set(xlabel="bits per image", ylim=(-0.5, 4.2))
axes[0].legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
each = (-found.elbo.per_datum / BIT).numpy()
axes[1].scatter(each, lengths, s=6)
ends = [each.min(), each.max()]
axes[1].plot(ends, ends, color="0.5", linestyle="--", label="equal")
axes[1].set(xlabel="-ELBO of an image (bits)", ylabel="bits it adds to the file")
axes[1].legend(frameon=False)
lab.finish()
