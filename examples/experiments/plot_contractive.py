r"""
The contractive penalty
=======================

A contractive autoencoder pays for a code that moves where :math:`x` moves a little: :math:`\lambda
\sum_i \|\nabla_x h_i\|^2`, which *is* :math:`\lambda \|J_f(x)\|_F^2`, the squared Frobenius norm
of the encoder's Jacobian. The notes' formula is right. Loose is what is said around it: the
penalty is no function of the code alone, as that of sparse codes is, but of the data too; and as
it stands it asks for nothing, since an encoder may shrink its code and the decoder enlarge it
(Rifai ties their weights; Diabolo charges each element in units of its gain in the decoder).

Often said is also that contraction and denoising are the same. They are not: small noise charges
the Jacobian of the *reconstruction* :math:`r = g \circ f` (Alain & Bengio, 2014),

.. math:: \mathbb{E} \|r(x + \varepsilon) - x\|^2 = \|r(x) - x\|^2 + \sigma^2 \left( \|J_r(x)\|_F^2
    + (r(x) - x) \cdot \Delta r(x) \right) + O(\sigma^4),

and not that of the code :math:`h`. The last term is 0 for linear maps, and small where
reconstruction is good. The rise and both Jacobians are measured.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from torch import nn

import diabolo
from diabolo.jacobians import product, rows, signs
from diabolo.noise import KeyedNoise
from diabolo.spec import Spec

lab = Experiment("contractive")
torch.set_default_dtype(torch.float64)

# %%
# **Four ways to the same number.** For :math:`h = \mathrm{sigmoid}(Wx + b)` the penalty is
# :math:`\sum_i [h_i (1 - h_i)]^2 \sum_j W_{ij}^2`; automatic differentiation finds it too, and
# random signs :math:`v` estimate it by one gradient, :math:`\mathbb{E} \|J^\top v\|^2`.

layer = nn.Sequential(nn.Linear(20, 12), nn.Sigmoid())
x = torch.randn(50, 20)
h = layer(x).detach()
closed = ((h * (1 - h)).square() * layer[0].weight.detach().square().sum(1)).sum(1)
found = rows(layer, x).square().sum(1).detach()
lab.claim("A46", "closed form - autograd, largest", (closed - found).abs().max(), "< 1e-6")

many = x[:1].expand(20_000, -1)
noise = KeyedNoise(0, torch.arange(len(many)))
estimates = product(layer, many, lambda y: signs(y, noise)).square().sum(1).detach()
error = estimates.std() / len(many) ** 0.5
lab.claim(
    "A46",
    "Hutchinson's estimate, standard errors off",
    (estimates.mean() - closed[0]).abs() / error,
    "< 4",
)

# %%
# A linear encoder's penalty is :math:`\|W\|_F^2`, if the decoder's columns have unit length; and
# of a code a thousand times smaller, with a decoder that makes up for it, the charge is the same,
# where the bare norm is a millionth.


class Map(nn.Module):
    """Multiplies by a matrix."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, h, c=None):
        return h @ self.weight.T


def charge(weight, columns):
    recipe = diabolo.build(
        "contractive_ae",
        Spec(event=(20,), support="real"),
        latent=4,
        net=Map(weight),
        decoder=Map(columns),
        price=1.0,
        jacobian="exact",
        likelihood="Normal(scale=1.0)",
    )
    return recipe.model.double()(x).penalty.mean().item()


weight, columns = torch.randn(4, 20), torch.linalg.qr(torch.randn(20, 4)).Q
bare = weight.square().sum().item()
lab.claim(
    "A46", "linear encoder, charge / |W|²", charge(weight, columns) / bare, "within 1e-6 of 1"
)
small = charge(1e-3 * weight, 1e3 * columns) / bare
lab.claim("A46", "the same of a code 1000 times smaller", small, "within 1e-6 of 1")

# %%
# **Denoising charges r.** An autoencoder of digits, its reconstructions of images with a little
# noise, and both Jacobians. Noise comes in pairs :math:`\pm\varepsilon`, so that odd terms cancel
# exactly.

TRAIN = {
    "latent": 16,
    "net": lab.pick("mlp(hidden=(64,))", "mlp(hidden=(128,))"),
    "support": "unit",
    "likelihood": "Normal(scale=shared)",
    "epochs": lab.pick(15, 100),
    "ema": 0,
    "compile": "off",
}
torch.set_default_dtype(torch.float32)
plain = diabolo.fit("digits", "ae", **TRAIN).to("cpu")
calm = diabolo.fit(
    "digits", "contractive_ae", price=lab.pick(1.0, 1.0), jacobian="estimate", **TRAIN
).to("cpu")
torch.set_default_dtype(torch.float64)
models = {"plain": plain.model.double(), "contractive": calm.model.double()}
images = plain.data("test").batch(torch.arange(lab.pick(20, 100))).x.double().flatten(1)


def reconstructs(model):
    shape = (-1, 1, 8, 8)
    return lambda v: model.decode(model.encode(v.reshape(shape))[0]).mean.flatten(1)


def encodes(model):
    return lambda v: model.encode(v.reshape(-1, 1, 8, 8))[0]


def rise(model):
    """The rise of the squared error under noise over its variance, without and with curvature."""
    r = reconstructs(model)
    draws = torch.randn(lab.pick(50, 500), 1, images.shape[1])
    residual = r(images) - images
    straight, whole = [], []
    for sigma in sigmas:
        up, down = (torch.stack([r(images + s * e) for e in draws]) - images for s in sigma * flip)
        both = (up.square() + down.square()).sum(-1) / 2 - residual.square().sum(1)
        bent = ((up + down - 2 * residual) * residual).sum(-1)  # the second difference, and r - x
        whole.append(both.mean().item() / sigma**2)
        straight.append((both - bent).mean().item() / sigma**2)
    return np.array(straight), np.array(whole)


sigmas, flip = (
    np.array(lab.pick([0.01, 0.1, 0.3], [0.01, 0.02, 0.05, 0.1, 0.2, 0.4])),
    np.array([1, -1]),
)
rises, codes = {}, {}
for name, model in models.items():
    norm_r = rows(reconstructs(model), images).square().sum(1).mean().item()
    norm_h = rows(encodes(model), images).square().sum(1).mean().item()
    with torch.no_grad():
        straight, whole = rise(model)
    rises[name], codes[name] = whole / norm_r, norm_h / norm_r
    told = f"{name}: rise under noise 0.01 / s² |J_r|²"
    lab.claim("A46", told, whole[0] / norm_r, "within 0.05 of 1", quick="within 0.15 of 1")
    told += ", without curvature, i.e. Hutchinson by finite differences"
    lab.claim("A46", told, straight[0] / norm_r)
    lab.claim("A46", f"{name}: |J_h|² / |J_r|²", norm_h / norm_r)

# %%
# **What contraction does.** The singular values of the encoder's Jacobian, each element in units
# of its gain: how much the code still moves, direction by direction.


def directions(model):
    """Singular values (N, D) of the encoder's Jacobian, its rows times the gains."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: encodes(model)(v[None])[0]))(images)
    code = encodes(model)(images).detach()
    decode = torch.func.vmap(torch.func.jacrev(lambda z: model.decode(z[None]).mean.flatten()))
    gain = decode(code).norm(dim=1)  # (N, D)
    return torch.linalg.svdvals(jacobian * gain[:, :, None]).detach()


spectra = {name: directions(model).mean(0) for name, model in models.items()}
totals = {name: s.square().sum().item() for name, s in spectra.items()}
lab.claim(
    "A46",
    "charge of the contractive code / of the plain",
    totals["contractive"] / totals["plain"],
    "< 1",
)

figure, (one, two) = plt.subplots(1, 2, figsize=(8.5, 3.5), layout="constrained")
for i, name in enumerate(models):
    one.semilogx(sigmas, rises[name], marker="o", color=f"C{i}", label=f"{name}: rise of the error")
    one.axhline(codes[name], color=f"C{i}", ls="--", label=rf"{name}: $\|J_h\|_F^2$ of the code")
one.axhline(1, color="0.6", lw=1)
one.set(
    xlabel=r"noise $\sigma$ (grey value)",
    ylabel=r"in units of $\sigma^2 \|J_r\|_F^2$",
)
one.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
one.set_xticks([], minor=True)
one.legend(fontsize=8)
for name, spectrum in spectra.items():
    two.plot(range(1, len(spectrum) + 1), spectrum, marker="o", label=name)
two.set_xticks(range(1, spectra["plain"].numel() + 1, 3))
two.set(xlabel="direction", ylabel="singular value of the code's Jacobian")
two.legend()

lab.finish(figure)
