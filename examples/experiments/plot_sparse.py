r"""
Sparse codes
============

A code may be wider than the data if few of its elements are on at a time. The objective is
:math:`L(x, g(f(x))) + \Omega(h)` with a price on the code :math:`h = f(x)`: its absolute size
(:math:`L_1`), the divergence of its mean activation from a small :math:`\rho` (KL), or simply
a limit on how many are on (top-k).

The notes have the formula right and its constant loose: :math:`\lambda` is outside of
:math:`\Omega` here and inside in their contractive penalty, and the tutorial's aside counts the
elements that are on, :math:`\|h\|_0`, which has no gradient. Nor do they say that a bare
:math:`\lambda \|h\|_1` asks for nothing: an encoder halves its code, a decoder doubles it back.
Either the decoder's columns have unit length, or each element is charged in units of what it does
to the output; Diabolo does the latter, which is the former where columns do have unit length.

Shown: the optimum that theory gives, the target :math:`\rho`, and sparseness against its price.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo.evaluate import distortion, hoyer
from diabolo.spec import Spec

lab = Experiment("sparse")

# %%
# With orthonormal columns D and :math:`\|x - Dh\|^2 + \lambda \|h\|_1` the best code is a soft
# threshold, :math:`h = \mathrm{sign}(D^\top x) \, (|D^\top x| - \lambda/2)_+`. An encoder that may
# say of each datum what it likes must find it; codes are not negative here, so each column is there
# with either sign.


class Given(nn.Module):
    """A decoder with these columns, or, without any, a code for each datum."""

    def __init__(self, numbers, free):
        super().__init__()
        self.numbers, self.free = nn.Parameter(numbers, requires_grad=free), free

    def forward(self, h, c=None):
        return self.numbers if self.free else h @ self.numbers.T


PRICE = 0.8
columns = torch.linalg.qr(torch.randn(16, 8, dtype=torch.float64)).Q
x = torch.randn(40, 16, dtype=torch.float64)
recipe = diabolo.build(
    "sparse_ae",
    Spec(event=(16,), support="real"),
    latent=16,
    price=PRICE,
    jacobian="exact",
    net=Given(torch.full((40, 16), 0.5, dtype=torch.float64), free=True),
    decoder=Given(torch.cat([columns, -columns], 1), free=False),
    likelihood=f"Normal(scale={math.sqrt(0.5)})",
)
recipe.model.double()
optimizer = torch.optim.SGD(recipe.model.latent.parameters(), lr=0.2)
for _ in range(150):
    optimizer.zero_grad()
    (-recipe.objective(recipe.model(x)).sum()).backward()
    optimizer.step()
both = recipe.model.encode(x)[0].detach()
code, along = both[:, :8] - both[:, 8:], x @ columns
soft = along.sign() * (along.abs() - PRICE / 2).relu()
lab.claim("A44", "code - soft threshold, largest", (code - soft).abs().max(), "< 1e-6")

# %%
# The target: elements between 0 and 1, each of which is to be on for a tenth of the digits. Their
# mean comes near to it; of single elements only a part does, which is told below. Then the price of
# :math:`L_1`: the dearer, the sparser, and the worse the reconstruction. Prices go up to 0.3 nats:
# at 0.5 short trainings on MNIST came out no sparser, and at 1 every element went to 0.

SOURCE = lab.pick("digits", "mnist")
TRAIN = {
    "net": lab.pick("mlp(hidden=(128,))", "mlp(hidden=(256,))"),
    "decoder": "mlp(hidden=())",
    "latent": lab.pick(64, 128),
    "support": "unit",
    "likelihood": "Normal(scale=shared)",
    "limit": lab.pick(None, 20_000),
    "minutes": None,
    "ema": 0,
    "optimizer": "adam",
    "precision": "float32",
    "compile": "off",
    **lab.source,
}
RHO = 0.1
kl = diabolo.fit(
    SOURCE,
    "sparse_ae",
    sparsity="kl",
    target=RHO,
    price=lab.pick(80.0, 200.0),
    batch_size=250,
    learning_rate=lab.pick(1e-2, 3e-3),
    epochs=lab.pick(60, 25),
    **TRAIN,
).to("cpu")


def codes(run):
    data = run.data("test")
    with torch.no_grad():
        return run.model.encode(data.batch(torch.arange(len(data))).x)[0]


each = codes(kl).mean(0) / RHO
lab.claim("A44", "mean activation / rho", each.mean(), "within 0.1 of 1", quick="within 0.3 of 1")
near = ((each - 1).abs() <= 0.1).double().mean()
lab.claim("A44", "share of elements whose own mean is within 10 % of rho", near)

prices = lab.pick((0.03, 0.1, 0.3), (0.01, 0.03, 0.1, 0.3))
sparse, off, errors = [], [], []
for price in prices:
    run = diabolo.fit(
        SOURCE, "sparse_ae", price=price, epochs=lab.pick(10, 8), batch_size=100, **TRAIN
    ).to("cpu")
    z = codes(run)
    sparse.append(hoyer(z).nanmean().item())
    off.append((z == 0).double().mean().item())
    errors.append(distortion(run.model, run.data("test")).value)
for row in zip(prices, sparse, off, errors, strict=True):
    print("price {:5.2f}: sparseness {:.3f}, zeros {:.3f}, distortion {:8.1f} nats".format(*row))
lab.claim(
    "A44",
    "least step of Hoyer's sparseness as lambda rises",
    np.diff(sparse).min(),  # NaN, if every code is 0 at one price
    "> 0",
    given="rises with lambda",
    changed="to 0.3 only: at 0.5 no sparser, at 1 all zero",
)
lab.claim("A44", "part of the code that is 0, dearest", off[-1])

# %%
# Each column of the KL model's decoder is what one element adds to an image: a stroke.

figure = plt.figure(figsize=(9, 3.2), layout="constrained")
one, two, three = figure.subfigures(1, 3, width_ratios=(1, 1.15, 1))
axes = one.subplots()
line = np.linspace(-3, 3, 200)
soft_line = np.sign(line) * np.maximum(np.abs(line) - PRICE / 2, 0)
axes.plot(line, soft_line, color="0.6", label="soft threshold")
axes.plot(along.flatten(), code.flatten(), ".", ms=3, label="trained code")
axes.set(xlabel=r"$D^\top x$", ylabel="h", title=r"$\lambda = 0.8$")
axes.legend(fontsize=8)
axes = two.subplots()
axes.semilogx(prices, sparse, marker="o", label="Hoyer's sparseness")
axes.semilogx(prices, off, marker="s", label="part of zeros")
axes.set(xlabel=r"$\lambda$ (nats)", ylim=(0, 1.05), title="the dearer, the sparser")
beside = axes.twinx()
beside.semilogx(prices, errors, color="0.5", ls="--")
beside.set_ylabel("distortion (nats, dashed)")
axes.legend(fontsize=8, loc="lower right")
weight = kl.model.likelihood.net.head.weight.detach()
side = int(weight.shape[0] ** 0.5)
order = weight.norm(dim=0).argsort(descending=True)
three.suptitle(r"strokes, KL to $\rho = 0.1$", fontsize=11)
for a, i in zip(three.subplots(4, 4).flat, order[:16], strict=True):
    a.imshow(
        weight[:, i].reshape(side, side), cmap="RdBu_r", norm=plt.matplotlib.colors.CenteredNorm()
    )
    a.axis("off")

lab.finish(figure)
