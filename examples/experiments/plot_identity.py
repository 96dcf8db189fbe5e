r"""
What keeps an over-complete autoencoder from copying
====================================================

A code at least as wide as the data can hold all of them: an autoencoder then learns the identity,
and its code nothing. The notes say so, and name three things to ask of a code instead: to be
sparse, to move little with its input, and to withstand noise. Each has its autoencoder: a charge
on the code, a charge on its Jacobian, and noise at the input.

One thing the notes leave open is that these are three properties, not one, and that a model need
not have most of its own: here all are measured for all of them, and it is the denoising one whose
code moves least with its input.
"""

import matplotlib.pyplot as plt
import torch
from experiment import Experiment

import diabolo
from diabolo.evaluate import hoyer, jacobian_norm, probe_accuracy
from diabolo.noise import KeyedNoise
from diabolo.spec import Spec

lab = Experiment("identity")

# %%
# Five numbers, a code of eight, linear maps (but that the sparse code is cut off at 0), and each
# objective taken to its optimum. The mean Jacobian of the reconstruction tells how much of its
# input comes out: the identity, if all does.

torch.set_default_dtype(torch.float64)
x = torch.randn(64, 5)
x = torch.linalg.qr(x - x.mean(0)).Q * (64 * torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25])).sqrt()
KINDS = {
    "plain": ("ae", {}),
    "denoising": ("denoising_ae", {"noise": "gaussian", "level": 0.5}),
    "sparse": ("sparse_ae", {"price": 0.5, "jacobian": "exact"}),
    "contractive": ("contractive_ae", {"price": 0.05, "jacobian": "exact"}),
}
copies = {}
for name, (recipe, options) in KINDS.items():
    torch.manual_seed(0)
    made = diabolo.build(
        recipe,
        Spec(event=(5,), support="real"),
        latent=8,
        net="mlp(hidden=())",
        likelihood="Normal(scale=1.0)",
        **options,
    )
    model = made.model.double()
    model.latent.posterior.net.head.bias.data += 0.5  # some elements are on at first
    repeat = 8 if name == "denoising" else 1
    rows, noise = x.repeat(repeat, 1), torch.arange(repeat * len(x))
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=300, history_size=30, line_search_fn="strong_wolfe"
    )

    def closure(made=made, rows=rows, noise=noise, optimizer=optimizer):
        optimizer.zero_grad()
        loss = -made.objective(made.model(rows, noise=KeyedNoise(0, noise))).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    model.eval()

    def again(v, model=model):
        return model.decode(model.encode(v[None])[0]).mean[0]

    copies[name] = torch.func.vmap(torch.func.jacrev(again))(x).mean(0).detach()
    off = torch.linalg.matrix_norm(copies[name] - torch.eye(5), 2)
    asked = "< 1e-4" if name == "plain" else "> 0.02"
    lab.claim("A39", f"{name}: |mean Jacobian of r - identity|", off, asked)
torch.set_default_dtype(torch.float32)

# %%
# The same with digits, and the three properties: Hoyer's sparseness of the code, its Jacobian
# beside its spread, and how many digits a linear classifier tells from codes of noisy images.

WIDE = {
    "plain": ("ae", {}),
    "denoising": ("denoising_ae", {"noise": "gaussian", "level": 0.4}),
    "contractive": ("contractive_ae", {"price": 1.0}),
    "sparse, L1": ("sparse_ae", {}),
}
if lab.full:
    WIDE |= {
        "sparse, KL": ("sparse_ae", {"sparsity": "kl"}),
        "sparse, top-k": ("sparse_ae", {"sparsity": "top_k"}),
        "small code (RAE)": ("rae", {}),
        "variational": ("vae", {}),
    }
found = {}
for name, (recipe, options) in WIDE.items():
    run = diabolo.fit(
        "digits",
        recipe,
        latent=lab.pick(64, 128),
        net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(256, 256))"),
        epochs=lab.pick(10, 30),
        batch_size=100,
        ema=0,
        compile="off",
        **options,
    ).to("cpu")
    train, test = run.data("train"), run.data("test")
    with torch.no_grad():
        z = run.model.encode(test.batch(torch.arange(len(test))).x)[0].double()
    steep = jacobian_norm(run.model, test).mean() / z.var(0).sum().sqrt()
    right = probe_accuracy(run.model, train, test, noise=0.4)
    found[name] = (hoyer(z).nanmean().item(), steep.item(), right)
    print(
        "{:18} sparseness {:.2f}  Jacobian / spread {:.2f}  right {:.2f}".format(name, *found[name])
    )

plain = found["plain"]
more = found["sparse, L1"][0] - plain[0]
lab.claim("A47", "Hoyer's sparseness, sparse - plain", more, "> 0.1")
lab.claim(
    "A47", "Jacobian / spread, contractive / plain", found["contractive"][1] / plain[1], "< 1"
)
gain = found["denoising"][2] - plain[2]
lab.claim("A47", "accuracy under noise, denoising - plain", gain, "> 0", quick="> -0.02")
for name, (sparse, steep, right) in found.items():
    lab.claim("A47", f"{name}: Hoyer's sparseness", sparse)
    lab.claim("A47", f"{name}: Jacobian / spread of the code", steep)
    lab.claim("A47", f"{name}: accuracy under noise of 0.4", right)

figure = plt.figure(figsize=(9, 5), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
for a, (name, matrix) in zip(top.subplots(1, 4), copies.items(), strict=True):
    a.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    a.set(xticks=[], yticks=[], title=name)
top.suptitle("what of the input comes out: mean Jacobian of the reconstruction")
names = ("Hoyer's sparseness", "Jacobian / spread", "accuracy under noise")
for i, (a, title) in enumerate(zip(bottom.subplots(1, 3, sharey=True), names, strict=True)):
    a.barh(list(found), [f[i] for f in found.values()], color=f"C{i}")
    a.set(xlabel=title)
    a.invert_yaxis() if i == 0 else None

lab.finish(figure)
