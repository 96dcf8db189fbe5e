r"""
A linear autoencoder is principal component analysis
====================================================

An autoencoder maps :math:`x` through a narrow code and back, :math:`\hat x = g(f(x))`, and
minimises :math:`\sum_i \|x_i - \hat x_i\|^2`. If both maps are linear, nothing beats the
projection onto the :math:`k` leading eigenvectors of the covariance, and the error that is left is
the sum of the discarded eigenvalues (Baldi & Hornik, 1989; every other stationary point is a
saddle).

The notes have this right. What they do not say is how much less is learned than in PCA: *the
subspace*, not the components. Any invertible matrix :math:`A` may stand between the two maps,
:math:`g A^{-1} A f`, so that single elements of the code mean nothing.

Shown: the angles between the two subspaces, and the error, on handwritten digits.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment

import diabolo

lab = Experiment("linear_pca")
K = lab.pick(quick=10, full=12)  # where the spectrum has a gap, or the subspace is ill defined

# %%
# A dense network without hidden layers is a linear map, and a normal density of unit scale makes
# nats of squared errors. Adam's few epochs do not get there: some direction of PCA's subspace is
# then still missed, at nearly a right angle to what was found.

run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "ae",
    latent=K,
    net="mlp(hidden=())",
    likelihood="Normal(scale=1.0)",
    support="unit",
    limit=lab.pick(None, 6_000),
    epochs=lab.pick(10, 15),
    batch_size=100,
    minutes=None,
    ema=0,
    optimizer="adam",
    precision="float32",
    **lab.source,
).to("cpu")
data = run.data("train")
x = data.batch(torch.arange(len(data))).x.double()
flat = x.flatten(1)
centred = flat - flat.mean(0)
values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
values, vectors = values.flip(0), vectors.flip(1)
discarded = values[K:].sum().item()


def angle(model):
    """The largest principal angle between the decoder's columns and the leading eigenvectors."""
    basis = torch.linalg.qr(model.likelihood.net.head.weight.detach().double()).Q
    sines = basis - vectors[:, :K] @ (vectors[:, :K].T @ basis)  # exact where cosines are not
    return torch.asin(torch.linalg.svdvals(sines).max().clamp(max=1)).item()


def error(model):
    """The mean over the data of the squared error."""
    with torch.no_grad():
        again = model.decode(model.encode(x)[0]).mean.flatten(1)
    return (flat - again).square().sum(1).mean().item()


# %%
# A quasi-Newton method on the same objective takes the model to the end, in double precision. Of
# the data, a linear model's error knows the mean and the covariance only, which two points on
# each axis :math:`v_j` have as well, :math:`\bar x \pm \sqrt{D \lambda_j} \, v_j`.

reach = (vectors * (len(values) * values.clamp(min=0)).sqrt()).T
points = (flat.mean(0) + torch.cat([reach, -reach])).reshape(-1, *x.shape[1:])
model = run.model.double().train()
encoder, decoder = model.latent.posterior.net.head, model.likelihood.net.head
with torch.no_grad():  # the best encoder of a decoder is its pseudo-inverse: start there
    encoder.weight.copy_(torch.linalg.pinv(decoder.weight))
    encoder.bias.copy_(-encoder.weight @ decoder.bias)
course = [(angle(model), error(model) - discarded)]
lab.claim("A38", "largest angle to PCA's subspace after Adam", course[0][0], unit="rad")
optimizer = torch.optim.LBFGS(
    model.parameters(),
    max_iter=20,
    history_size=200,
    tolerance_grad=1e-12,
    tolerance_change=1e-16,
    line_search_fn="strong_wolfe",
)


def closure():
    optimizer.zero_grad()
    loss = -run.recipe.objective(model(points)).mean()
    loss.backward()
    return loss


for _ in range(lab.pick(40, 250)):
    optimizer.step(closure)
    course.append((angle(model), error(model) - discarded))
    if course[-1][0] < 5e-4 and course[-1][1] < 5e-7:
        break

lab.claim("A38", "largest principal angle to PCA's subspace", course[-1][0], "< 1e-3", unit="rad")
lab.claim("A38", "error - discarded eigenvalues", abs(course[-1][1]), "<= 1e-6", unit="pixel²")

# %%
# The columns of the decoder look like nothing in particular; turned onto the eigenvectors, they are
# these. The subspace is what was learned.

side = int(flat.shape[1] ** 0.5)
weight = decoder.weight.detach()
turned = weight @ torch.linalg.lstsq(weight, vectors[:, :K]).solution
shown = min(K, 6)
figure = plt.figure(figsize=(8.5, 4.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
axes = left.subplots()
steps = 20 * np.arange(len(course))
axes.semilogy(steps, [a for a, _ in course], marker=".", label="largest angle (rad)")
axes.semilogy(steps, [max(e, 1e-12) for _, e in course], marker=".", label="excess error (pixel²)")
axes.axhline(1e-3, color="C0", ls=":", lw=1)
axes.axhline(1e-6, color="C1", ls=":", lw=1)
axes.set(xlabel="quasi-Newton iterations", title=f"{K} of {flat.shape[1]} dimensions")
axes.legend()
rows = [("decoder", weight), ("turned", turned), ("PCA", vectors)]
for grid, (name, columns) in zip(right.subplots(3, shown), rows, strict=True):
    for i, a in enumerate(grid):
        picture = columns[:, i].reshape(side, side)
        a.imshow(picture, cmap="RdBu", vmin=-picture.abs().max(), vmax=picture.abs().max())
        a.set(xticks=[], yticks=[])
    grid[0].set_ylabel(name)

lab.finish(figure)
