r"""
Up-sampling without a checkerboard
==================================

A convolutional decoder enlarges a small array step by step. A transposed convolution (the notes'
"deconvolution") whose kernel is no multiple of its stride covers some pixels with more taps than
others: with a side of 5 and a stride of 2, neighbours get 3 or 2 in either direction. Weights can
learn to make up for it, but they start as a checkerboard (Odena et al., 2016). The remedy is to
enlarge first and convolve then. A kernel of even side, which Diabolo's `conv` has, covers all
pixels alike, but with other weights in even and in odd ones: before training that leaves less of a
checkerboard, and still a good deal of one.

The notes' network (Frans's: 16 and 32 channels, code of 20, the same way back) has kernels of side
5. Shown: the power at the highest frequency that pixels can hold, of the means that each decoder
gives (not of draws, which have the noise of their density), beside that of real images: before
training and after.
"""

import matplotlib.pyplot as plt
import torch
from experiment import Experiment
from torch import nn

import diabolo

lab = Experiment("upsampling")
SIDE = lab.pick(8, 28)
SMALL = SIDE // 4

# %%
# Three decoders from a code of 20 to an image. A user's own module is as good as a network's name.


class Decoder(nn.Module):
    """A dense layer, then two doublings of the sides."""

    def __init__(self, double):
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(20, 32 * SMALL**2), nn.ReLU())
        self.up = nn.Sequential(double(32, 16), nn.ReLU(), double(16, 1))

    def forward(self, z, c=None):
        return self.up(self.dense(z).unflatten(1, (32, SMALL, SMALL)))


def transposed(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)


def resized(inputs, outputs):
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 5, padding=2)
    )


NET = "conv(channels=(16, 32), hidden=128)"
KINDS = {
    "transposed, side 5": lambda: Decoder(transposed),
    "enlarged, then convolved": lambda: Decoder(resized),
    "conv: transposed, side 4": lambda: NET,
}

# %%
# The spectrum of an image of N x N pixels ends at a period of two pixels, the frequency of a
# checkerboard and of its stripes. Its power there, over that of all frequencies but 0, is a mean
# over images; what is compared is the ratio to real ones.


def spectrum(images):
    """The mean power of each pair of frequencies (N, N), in parts of the whole without 0."""
    images = images[:, 0].double()
    images = images - images.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(images).abs().square().mean(0)
    return power / power.sum()


def highest(power):
    """The part of the power with the period of two pixels in either direction."""
    half = SIDE // 2
    return (power[half].sum() + power[:, half].sum() - power[half, half]).item()


def along(power):
    """The power of the frequencies of rows and columns, 0 to that of a checkerboard."""
    return (power.sum(0) + power.sum(1))[: SIDE // 2 + 1] / 2


# Before training the codes are drawn three times as wide as the prior, so that an image has more of
# the code in it, and less of what all images share.

OPTIONS = {"latent": 20, "net": NET, "likelihood": "Normal(scale=shared)"}
codes = torch.randn(1000, 20)
found, pictures = {}, {}
for name, decoder in KINDS.items():
    torch.manual_seed(0)
    run = diabolo.fit(
        lab.pick("digits", "mnist"),
        "vae",
        decoder=decoder(),
        support="unit",
        limit=lab.pick(None, 12_000),
        epochs=lab.pick(5, 6),
        batch_size=100,
        minutes=None,
        ema=0,
        optimizer="adam",
        precision="float32",
        compile="off",
        **OPTIONS,
        **lab.source,
    ).to("cpu")
    data = run.data("test")
    real = data.batch(torch.arange(min(2000, len(data)))).x
    torch.manual_seed(0)
    fresh = diabolo.build("vae", run.spec, decoder=decoder(), **OPTIONS).model
    with torch.no_grad():
        images = {
            "before training": fresh.decode(3 * codes).mean,
            "samples": run.model.decode(codes).mean,
            "reconstructions": run.model.decode(run.model.encode(real)[0]).mean,
        }
    most = highest(spectrum(real))
    found[name] = {what: highest(spectrum(i)) / most for what, i in images.items()}
    pictures[name] = images

# %%
# To enlarge first leaves no checkerboard to begin with. Training removes that of the others as
# well, as far as samples and reconstructions show.

for name, ratios in found.items():
    for what, ratio in ratios.items():
        even = what != "before training" or name == "enlarged, then convolved"
        judged = "<= 1.5" if name != "transposed, side 5" and even else None
        lab.claim("A41", f"{name}, {what}: power at Nyquist / that of real images", ratio, judged)
start = {name: ratios["before training"] for name, ratios in found.items()}
lab.claim(
    "A41",
    "before training, transposed with side 5 / enlarged",
    start["transposed, side 5"] / start["enlarged, then convolved"],
    "> 1.5",
)

figure = plt.figure(figsize=(9, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
grid = left.subplots(4, 6)
for row, (name, images) in zip(grid[:3], pictures.items(), strict=True):
    both = [*images["before training"][:3], *images["samples"][:3]]
    for a, image in zip(row, both, strict=True):
        a.imshow(image[0], cmap="gray_r")
    row[0].set_ylabel(name.replace(", ", ",\n").replace(": ", ":\n"), fontsize=8)
for a, image in zip(grid[3], real[:6], strict=True):
    a.imshow(image[0], cmap="gray_r")
grid[3, 0].set_ylabel("real", fontsize=8)
grid[0, 1].set_title("before training", fontsize=9)
grid[0, 4].set_title("samples", fontsize=9)
for a in grid.flat:
    a.set(xticks=[], yticks=[])
axes = right.subplots()
frequency = torch.arange(SIDE // 2 + 1) / SIDE
axes.semilogy(frequency, along(spectrum(real)), color="k", lw=2, label="real images")
for i, (name, images) in enumerate(pictures.items()):
    axes.semilogy(frequency, along(spectrum(images["samples"])), color=f"C{i}", label=name)
    before = along(spectrum(images["before training"]))
    axes.semilogy(frequency, before, color=f"C{i}", ls=":", lw=1)
axes.set(xlabel="frequency (periods a pixel)", ylabel="part of the power (dotted: before training)")
axes.legend(fontsize=8)

lab.finish(figure)
