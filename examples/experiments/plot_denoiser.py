r"""
Denoising: the best linear one, the score, and pictures
=======================================================

A denoising autoencoder reads :math:`\tilde x`, a spoiled :math:`x`, and answers for the clean one.
It cannot win by copying, even with a code wider than the data. What it can do at best is known: it
returns :math:`\mathbb{E}[x \mid \tilde x]`.

For normal data with covariance :math:`\Sigma` and noise :math:`\sigma` that is the linear map
:math:`W = \Sigma (\Sigma + \sigma^2 I)^{-1}`, for any data Tweedie's formula: what it adds to its
input points up the density of noisy data, :math:`(r(\tilde x) - \tilde x) / \sigma^2 = \nabla \log
p_\sigma(\tilde x)`. The notes say "noise in, clean out"; that this *is* a density's gradient, on
which diffusion models rest, they do not.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment

import diabolo
from diabolo.noise import KeyedNoise, Noise
from diabolo.spec import Spec

lab = Experiment("denoiser")

# %%
# **The linear one.** Rows of a random walk that is pulled back to 0, whose neighbours are alike:
# their covariance is exactly :math:`\Sigma_{ij} = 0.9^{|i-j|}`. The noise is exact as well: it goes
# through the points :math:`\pm \sqrt{D} e_i`, over which the mean of any quadratic is its mean
# under normal noise.

SIZE, LEVEL = 16, 0.7
where = torch.arange(SIZE, dtype=torch.float64)
covariance = 0.9 ** (where[:, None] - where).abs()
white = torch.randn(64, SIZE, dtype=torch.float64)
white = torch.linalg.qr(white - white.mean(0)).Q * math.sqrt(64)
curves = white @ torch.linalg.cholesky(covariance).T
points = math.sqrt(SIZE) * torch.cat([torch.eye(SIZE), -torch.eye(SIZE)]).double()


class Points(Noise):
    """The same points for each datum."""

    def normal(self, shape, like):
        return points.repeat(shape[1] // len(points), 1)[None]


recipe = diabolo.build(
    "denoising_ae",
    Spec(event=(SIZE,), support="real"),
    latent=SIZE,
    noise="gaussian",
    level=LEVEL,
    net="mlp(hidden=())",
    likelihood="Normal(scale=1.0)",
)
model = recipe.model.double().train()
every = curves.repeat_interleave(len(points), 0)
optimizer = torch.optim.LBFGS(
    model.parameters(), max_iter=400, history_size=50, line_search_fn="strong_wolfe"
)


def closure():
    optimizer.zero_grad()
    loss = -recipe.objective(model(every, noise=Points())).mean()
    loss.backward()
    return loss


optimizer.step(closure)
model.eval()
with torch.no_grad():
    out = model.decode(model.encode(torch.cat([torch.eye(SIZE), torch.zeros(1, SIZE)]).double())[0])
learned = (out.mean[:-1] - out.mean[-1]).T
best = covariance @ torch.linalg.inv(covariance + LEVEL**2 * torch.eye(SIZE))
lab.claim("A45", "learned W - optimal W, largest element", (learned - best).abs().max(), "< 1e-3")

# %%
# **The score.** Three normal densities in the plane, of which the gradient is known.

CENTRES = torch.tensor([[-2.0, 0.0], [1.5, 1.5], [1.0, -2.0]])
SPREAD, SIGMA = 0.5, 0.5
rows = CENTRES[torch.randint(3, (lab.pick(4000, 60_000),))]
rows = rows + SPREAD * torch.randn_like(rows)
plane = diabolo.fit(
    rows.numpy(),
    "denoising_ae",
    noise="gaussian",
    level=SIGMA,
    latent=16,
    net="mlp(hidden=(64, 64))",
    likelihood="Normal(scale=1.0)",
    standardize=False,
    batch_size=lab.pick(100, 500),
    epochs=lab.pick(20, 40),
    learning_rate=3e-3,
    schedule="cosine",
    compile="off",
).to("cpu")


def score(at):
    """The gradient of the logarithm of the noisy data's density."""
    at = at.double().requires_grad_()
    far = (at[:, None] - CENTRES.double()).square().sum(-1)
    log_p = (-far / (2 * (SPREAD**2 + SIGMA**2))).logsumexp(1)
    return torch.autograd.grad(log_p.sum(), at)[0]


@torch.no_grad()
def found(at):
    """What the denoiser adds, over the variance of the noise."""
    again = plane.model.decode(plane.model.encode(at)[0]).mean
    return ((again - at) / SIGMA**2).double()


fresh = CENTRES[torch.randint(3, (4000,))]
fresh = fresh + math.hypot(SPREAD, SIGMA) * torch.randn_like(fresh)
truth, guess = score(fresh), found(fresh)
whole = (truth * guess).sum() / truth.norm() / guess.norm()
each = torch.nn.functional.cosine_similarity(truth, guess)
lab.claim(
    "A45", "cosine of what it adds and the score, as fields", whole, ">= 0.99", quick=">= 0.97"
)
lab.claim("A45", "cosine, median over points", each.median(), ">= 0.99", quick=">= 0.97")

# %%
# **Pictures.** Normal noise of half the range of grey values, pixels that are put to black, and
# pixels that are put to either end; each model reads test images spoiled as those of its training.

shown = []
for noise, level in (("gaussian", 0.5), ("masking", 0.5), ("salt_pepper", 0.4)):
    run = diabolo.fit(
        lab.pick("digits", "mnist"),
        "denoising_ae",
        noise=noise,
        level=level,
        latent=64,
        net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(512,))"),
        support="unit",
        likelihood="Normal(scale=shared)",
        epochs=lab.pick(8, 8),
        minutes=None,
        ema=0,
        optimizer="adam",
        precision="float32",
        compile="off",
        **lab.source,
    ).to("cpu")
    data = run.data("test")
    clean = data.batch(torch.arange(min(2000, len(data)))).x
    run.model.view.train()  # spoils
    with torch.no_grad():
        key = KeyedNoise(1, torch.arange(len(clean)))
        spoiled = run.model.view(clean, None, key)
        mended = run.model(clean, noise=KeyedNoise(1, torch.arange(len(clean)))).px.mean[0]
    before, after = (-10 * (p - clean).square().mean().log10().item() for p in (spoiled, mended))
    asked = (">= 8", ">= 3") if noise == "gaussian" else (None, None)
    told = f"gain in PSNR, {noise.replace('_', ' and ')} at {level}"
    lab.claim("A45", told, after - before, asked[0], quick=asked[1], unit="dB")
    shown += [(noise.replace("salt_pepper", "salt, pepper"), spoiled[:4]), ("mended", mended[:4])]

# %%
figure = plt.figure(figsize=(9, 3.6), layout="constrained")
one, two, three = figure.subfigures(1, 3, width_ratios=(1, 1.25, 0.95))
top, bottom = one.subplots(2, 1)
for a, matrix, name in ((top, best, "optimal W"), (bottom, learned, "learned W")):
    a.imshow(matrix.detach(), cmap="viridis", vmin=0, vmax=best.max())
    a.set(xticks=[], yticks=[], title=name)
axes = two.subplots()
line = np.linspace(-3.6, 3.6, 15)
grid = torch.tensor(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), dtype=torch.float32)
axes.plot(*rows[:1500].T, ",", color="0.5")
for field, color in ((score(grid), "C0"), (found(grid), "C1")):
    axes.quiver(*grid.T, *field.T, color=color, scale=60, width=0.004)
axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", title="score (blue), denoiser (orange)")
for grid_row, (name, images) in zip(three.subplots(6, 4), shown, strict=True):
    for a, image in zip(grid_row, images, strict=True):
        a.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
        a.set(xticks=[], yticks=[])
    grid_row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)

lab.finish(figure)
