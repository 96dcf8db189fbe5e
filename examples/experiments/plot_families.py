r"""
What q's family loses, and what the encoder loses
=================================================

With a q of high capacity the divergence from the posterior goes to 0, and the bound to log p(x).
What is lost short of that has two causes (Cremer, Li and Duvenaud, 2018): the *family* of q may not
hold the posterior (the approximation gap), and the *encoder* may not find the best of the family
for each x (the amortisation gap). A larger family heals the first; the second is up to the network
and its training.

Two latent variables and one measurement,

.. math:: x = z_2 + z_1 + 0.6 \, z_1^2 + 0.3 \, \varepsilon,

have a posterior that is bent. The decoder is given, so that it cannot adapt to a poor q as it would
in training; the encoder alone is trained, once for each family. log p(x) is known by quadrature.

**Where the notes want care.** "High capacity" is twice: of the family, and of the network that
picks its members. Importance weights need neither.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo import Conditional, LatentModel, Recipe, TrainConfig, View
from diabolo.data import Data
from diabolo.evaluate import exact, log_likelihood, refine
from diabolo.latents import Amortized
from diabolo.objectives import elbo
from diabolo.posteriors import POSTERIORS
from diabolo.priors import PRIORS
from diabolo.train import fit

lab = Experiment("families")
NOISE = 0.3


class Bend(nn.Module):
    """The decoder, which has nothing to learn."""

    def forward(self, z, c=None):
        return z[..., 1:] + z[..., :1] + 0.6 * z[..., :1] ** 2


def draw(n, seed):
    """n measurements."""
    g = torch.Generator().manual_seed(seed)
    clean = Bend()(torch.randn(n, 2, generator=g))
    return Data(clean + NOISE * torch.randn(n, 1, generator=g))


train, valid, test = draw(lab.pick(1_000, 20_000), 1), draw(200, 2), draw(lab.pick(30, 1000), 3)

# %%
# One encoder for each family, and then a climb for each datum.

families = {
    "diagonal": "normal",
    "full covariance": "full",
    "flow": "flow(transforms=4, hidden=(32, 32))",
}
found, models = {}, {}
for name, family in families.items():
    torch.manual_seed(0)
    q = POSTERIORS.build(family, (1,), 2, 0, net="mlp(hidden=(32,))")
    prior = PRIORS.build("normal", 2, 0, posterior=q, spec=train.spec())
    noise = diabolo.distributions.family(f"Normal(scale={NOISE})")
    models[name] = LatentModel(View((1,)), Amortized(q, prior, 2), Conditional(Bend(), noise, (1,)))
    config = TrainConfig(
        epochs=lab.pick(10, 30),
        batch_size=lab.pick(50, 200),
        learning_rate=lab.pick(1e-2, 3e-3),
        schedule="cosine",
        precision="float32",
        device="cpu",
    )
    fit(Recipe(models[name], elbo, 4), train, valid, config)
    if name == "diagonal":
        truth = exact(models[name], test)  # that of the decoder, whatever q is
    sizes = {"steps": lab.pick(100, 500), "k": lab.pick(300, 2000)}
    found[name] = refine(models[name], test, likelihood=truth, **sizes)

# %%
# The approximation gap falls from family to family, as each holds the one before it, or nearly so.
# Fifty weighted samples go beyond what any of these q can reach.

for name, r in found.items():
    for what, gap in (("approximation", r.approximation_gap), ("amortisation", r.amortization_gap)):
        lab.claim("A23", f"bent posterior, {what} gap, {name}", gap.value, ">= 0", unit="nats",
                  stderr=gap.mc_stderr)  # fmt: skip
many = log_likelihood(models["flow"], test, k=50)
left = {name: r.approximation_gap.value for name, r in found.items()}
left["50 samples of the flow"] = truth.value - many.value
for first, second in (
    ("diagonal", "full covariance"),
    ("full covariance", "flow"),
    ("flow", "50 samples of the flow"),
):
    fall = left[first] - left[second]
    lab.claim("A23", f"fall of the gap from {first} to {second}", fall, "> 0", unit="nats")

# %%
# One posterior (grey) beside the best q of each family for this x, and the mean gaps.

i = int((test.x[:, 0] - 2.5).abs().argmin())
across, up = np.linspace(-4, 3, 71), np.linspace(-3.2, 3.2, 65)
z = torch.tensor(np.stack(np.meshgrid(across, up), -1), dtype=torch.float32)  # (65, 71, 2)
away = (test.x[i] - Bend()(z)[..., 0]) / NOISE
posterior = (-0.5 * away**2 - 0.5 * z.square().sum(-1)).exp()
levels = [0.05, 0.3, 0.7]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.9), gridspec_kw={"width_ratios": [1, 1, 1, 1.3]})
for a, (name, r) in zip(axes, found.items(), strict=False):
    a.contourf(across, up, posterior / posterior.max(), [*levels, 1], cmap="Greys", alpha=0.8)
    points = z.reshape(-1, 1, 2).expand(-1, len(test), 2)
    with torch.no_grad():
        q = r.posterior.log_prob(points)[:, i].view(len(up), len(across)).exp()
    a.contour(across, up, q / q.max(), levels, colors="tab:blue", linewidths=1)
    a.set(xlabel="z1", title=name)
axes[0].set(ylabel="z2")
for a in axes[1:3]:
    a.set_yticklabels([])
last = axes[3]
low = [r.approximation_gap.value for r in found.values()]
high = [r.amortization_gap.value for r in found.values()]
names = ["diagonal", "full", "flow", "flow,\nk = 50"]
last.bar(names, [*low, left["50 samples of the flow"]], color="0.4", label="the family")
last.bar(names[:3], high, bottom=low, color="tab:orange", label="the encoder")
last.set(ylabel="nats below log p(x)", title="gap of the bound")
last.tick_params(axis="x", labelsize=8)
last.legend(fontsize=8)
figure.tight_layout()
lab.finish()
