r"""
Dimension against error, beside PCA
===================================

The first use of an autoencoder is to describe much by little: :math:`k` numbers in place of 784
pixels. PCA is the best *linear* way to do so, and hence the line to beat: the digits lie near a
curved surface, and a curved map of :math:`k` coordinates reaches more of it than a plane can.

The notes name the uses (dimensionality reduction, features, compression, graphics) without numbers.
Shown: the error of test images for each width of the code, of both. A small error is not yet a
*compressed file*: for that, codes have to be quantised and coded, and the bits counted; a later
release measures that codec. The number of dimensions is no measure of information either: a real
number holds as many bits as its decimals.
"""

import matplotlib.pyplot as plt
import torch
from experiment import Experiment

import diabolo

lab = Experiment("dimension_error")
WIDTHS = lab.pick(quick=(2, 8), full=(2, 4, 8, 16, 32, 64))

# %%
# One network for all widths; only the code changes. The mean squared error is over pixels, whose
# values go from 0 to 1, of images that training never saw.


def of(run, split):
    data = run.data(split)
    return data.batch(torch.arange(len(data))).x.flatten(1).double()


errors, linear, pictures = [], [], []
for width in WIDTHS:
    run = diabolo.fit(
        lab.pick("digits", "mnist"),
        "ae",
        latent=width,
        net=lab.pick("mlp(hidden=(128,))", "mlp(hidden=(512, 256))"),
        likelihood="Normal(scale=shared)",
        support="unit",
        epochs=lab.pick(30, 9),
        batch_size=lab.pick(64, 128),
        minutes=None,
        ema=0,
        optimizer="adam",
        precision="float32",
        **lab.source,
    ).to("cpu")
    train, test = of(run, "train"), of(run, "test")
    mean = train.mean(0)
    _, vectors = torch.linalg.eigh(torch.cov(train.T))
    plane = vectors[:, -width:]
    flat = (test - mean) @ plane @ plane.T + mean
    with torch.no_grad():
        seen = run.data("test").batch(torch.arange(len(test))).x
        again = run.model.decode(run.model.encode(seen)[0]).mean.flatten(1).double()
    errors.append((test - again).square().mean().item())
    linear.append((test - flat).square().mean().item())
    pictures.append((flat[:5], again[:5]))

# %%
# The autoencoder needs fewer dimensions for the same error. With very many, it is PCA that catches
# up: it is solved exactly, and it can only gain from another dimension.

for width, found, line in zip(WIDTHS, errors, linear, strict=True):
    told = f"autoencoder's error / PCA's, {width} dimensions"
    row = {2: "<= 0.95", 32: "<= 0.5"}.get(width) if lab.full else "<= 0.95"
    given = {"given": "none", "changed": "the row asks it of 32 dimensions only"}
    lab.claim("A40", told, found / line, row, **({} if width == 32 or row is None else given))
lab.claim("A40", f"mean squared error, {WIDTHS[-1]} dimensions", errors[-1], unit="grey value²")

figure = plt.figure(figsize=(8.5, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
axes = left.subplots()
axes.loglog(WIDTHS, linear, marker="s", label="PCA")
axes.loglog(WIDTHS, errors, marker="o", label="autoencoder")
axes.set_yticks([0.005, 0.01, 0.02, 0.04], ["0.005", "0.01", "0.02", "0.04"])
axes.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
axes.minorticks_off()
axes.set(xlabel="dimensions of the code", ylabel="mean squared error (test, per pixel)")
axes.legend()
at = lab.pick(1, 2)
side = int(test.shape[1] ** 0.5)
rows = [("image", test[:5]), ("PCA", pictures[at][0]), ("autoencoder", pictures[at][1])]
for grid, (name, images) in zip(right.subplots(3, 5), rows, strict=True):
    for a, image in zip(grid, images, strict=True):
        a.imshow(image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
        a.set(xticks=[], yticks=[])
    grid[0].set_ylabel(name)
right.suptitle(f"{WIDTHS[at]} dimensions")

lab.finish(figure)
