r"""
One posterior for each datum
============================

In the graphical model of variational inference each datum has variational parameters of its own,
:math:`\lambda_i`, found by climbing the bound for that datum (the E-step of variational EM). A VAE
spares itself the climb: one encoder gives :math:`\lambda_i = f_\phi(x_i)` for all data at once.
The price is the *amortisation gap*: with the best :math:`\lambda_i^*` of the same family,

.. math::
    \log p(x_i) - \mathcal{L}(\lambda_i)
    = \underbrace{\log p(x_i) - \mathcal{L}(\lambda_i^*)}_{\text{approximation gap}}
    + \underbrace{\mathcal{L}(\lambda_i^*) - \mathcal{L}(\lambda_i)}_{\text{amortisation gap}}.

**In the notes** :math:`\phi` stands for the decoder, :math:`\lambda` for the parameters of q, and
:math:`q(x)` for what is :math:`q(z \mid x)`. Minimising :math:`D[q \| p(z \mid x)]` over
:math:`\lambda` is maximising the bound, as they say, but *at a fixed decoder only*: when the
decoder moves, :math:`\log p(x)` moves too.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from matplotlib.patches import Ellipse

import diabolo
from diabolo.data import Data
from diabolo.evaluate import exact, refine

lab = Experiment("per_datum")

# %%
# First where everything is known. With a linear decoder and normal noise the posterior is the same
# normal density for each datum but for its mean,
# :math:`N\big(M^{-1} W^\top (x - b) / \sigma^2, M^{-1}\big)`,
# :math:`M = I + W^\top W / \sigma^2`. The encoder is untrained and far off; each datum climbs.

torch.manual_seed(0)
x = torch.randn(lab.pick(20, 200), 4, dtype=torch.float64)
build = {"latent": 2, "decoder": "mlp(hidden=())", "likelihood": "Normal(scale=shared)"}
linear = diabolo.build("vae", Data(x).spec(), net="mlp(hidden=(8,))", **build).model.double()
head = linear.likelihood.net.head
with torch.no_grad():
    head.weight.copy_(torch.tensor([[1.0, 0.5], [0.3, -0.8], [0.9, 0.6], [-0.4, 1.0]]))
    noise = linear.decode(torch.zeros(1, 2, dtype=torch.float64)).variance[0, 0]
    spread = torch.linalg.inv(torch.eye(2) + head.weight.T @ head.weight / noise)
    mean = (x - head.bias) @ head.weight @ spread / noise
found = refine(linear, Data(x), form="full", steps=lab.pick(200, 4000), k=100)
off = (found.posterior.mean - mean).abs().max()
lab.claim(
    "A57",
    "PPCA: refined mean against the exact posterior's, greatest difference",
    off,
    "<= 1e-4",
    quick="<= 0.02",
)
off = (found.posterior.covariance - spread).abs().max()
lab.claim(
    "A57",
    "PPCA: refined covariance against the exact one, greatest difference",
    off,
    "<= 1e-4",
    quick="<= 0.02",
)
rest = (exact(linear, Data(x)).per_datum - found.refined.per_datum).abs().max()
lab.claim(
    "A57",
    "PPCA: refined bound against exact log p(x), greatest difference",
    rest,
    "<= 1e-4",
    quick="<= 0.01",
    unit="nats",
)
lab.claim(
    "A57",
    "PPCA: bound of the untrained encoder below it",
    found.amortization_gap.value,
    unit="nats",
)

# %%
# Then a VAE of handwritten digits. Its encoder is good, but not as good as a climb for each image.
# All numbers are taken with noise that the climb has not seen.

run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "vae",
    latent=lab.pick(8, 50),
    net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(200, 200), activation=tanh)"),
    binarize="dynamic",
    epochs=lab.pick(10, 40),
    batch_size=lab.pick(64, 256),
    learning_rate=1e-3,
    prior="normal",
    optimizer="adam",
    precision="float32",
    **lab.source,
)
test = run.data("test").take(torch.arange(lab.pick(40, 500)))
steps = lab.pick([10, 100], [1, 3, 10, 30, 100, 300])
ways = {n: refine(run.model, test, steps=n, k=lab.pick(100, 500)) for n in steps}
last = ways[steps[-1]]
gap = last.amortization_gap
better = (gap.per_datum >= 0).double().mean()
lab.claim("A57", "images whose refined bound is measured at least the amortised one", better)
sound = (gap.per_datum >= -4 * gap.per_datum_stderr).double().mean()
lab.claim(
    "A57", "those where it is so, to within 4 standard errors of its samples", sound, ">= 0.999"
)
lab.claim(
    "A57",
    "amortisation gap",
    gap.value,
    "between 1 and 3",
    quick="between 0 and 3",
    unit="nats",
    stderr=gap.data_stderr,
)
lab.claim(
    "A57",
    "approximation gap",
    last.approximation_gap.value,
    ">= 0",
    unit="nats",
    stderr=last.approximation_gap.data_stderr,
)

# %%

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
a, b, c = axes
first = linear.encode(x)
for i in range(5):
    for at, cov, color in (
        (first[0][i], torch.diag(first[1][i]), "tab:orange"),
        (found.posterior.mean[i], found.posterior.covariance[i], "tab:blue"),
    ):
        size, turn = np.linalg.eigh(cov.detach().numpy())
        angle = np.degrees(np.arctan2(turn[1, 1], turn[0, 1]))
        wide, high = 2 * size[::-1] ** 0.5
        a.add_patch(Ellipse(at.detach().numpy(), wide, high, angle=angle, fill=False, ec=color))
    way = np.stack([first[0][i].detach().numpy(), mean[i].numpy()])
    a.plot(*way.T, color="0.7", lw=0.6, zorder=0)
a.plot(*mean[:5].T.numpy(), "k+", ms=5)
a.autoscale()
a.set(xlabel="z1", ylabel="z2", aspect="equal")
a.set_title("linear: encoder (orange),\nclimbed (blue), exact mean (+)", fontsize=9)
b.axhline(last.amortized.value, color="tab:orange", label="encoder's bound")
b.plot(steps, [w.refined.value for w in ways.values()], marker="o", label="refined bound")
b.axhline(last.likelihood.value, color="black", ls="--", lw=1, label="log p(x)")
b.set(xscale="log", xlabel="steps of the climb", ylabel="nats per image")
b.set_title(lab.pick("digits", "MNIST"), fontsize=9)
b.legend(fontsize=7, loc=(0.42, 0.2))
c.hist(gap.per_datum.numpy(), 25, color="tab:blue", alpha=0.8)
c.axvline(gap.value, color="black", lw=1)
c.set(xlabel="amortisation gap, nats", ylabel="images")
c.set_title(f"mean {gap.value:.2f} nats", fontsize=9)
figure.tight_layout()
lab.finish()
