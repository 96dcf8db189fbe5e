r"""
What the elements of z mean
===========================

With labelled attributes one can calculate in the space of codes: the mean code of *large* pictures
less that of *small* ones is a direction "larger", and a small picture's code plus that direction
decodes to a large one. Without labels one hopes that single elements of z are the factors of the
data, and looks at traversals. Both are measured here on pictures whose four factors are known:
shape, size, and the two coordinates of the place.

**In the notes** "the elements of z mean smile, tilt of the head, position of the eyebrows". Nothing
in the bound makes them so: the prior :math:`N(0, I)` looks the same from all sides, so that a
rotated code, :math:`z' = R z`, has the same likelihood and elements that mean nothing (Locatello
and others, 2019). That a VAE often comes near the factors is due to its *diagonal* posterior. A
higher price of the rate, :math:`\beta`, is said to press in that direction: the gaps of the three
prices here differ little, each is of one training, and which is largest may be its chance.
*Directions* that mean something can be found with labels, as long as the factor lies along a line.
Place does: what is added arrives, though the size does not stay as it was. "Larger" depends on
where the shape is: about half of the size arrives, and the place moves with it.
"""

import matplotlib.pyplot as plt
import numpy as np
from experiment import Experiment
from sklearn.metrics import mutual_info_score
from sprites import FACTORS, sprites

import diabolo

lab = Experiment("attributes")
SIDE = 16
data = sprites(lab.pick(3000, 20_000), SIDE)
fresh = sprites(lab.pick(1000, 5000), SIDE, seed=1)
runs = {
    beta: diabolo.fit(
        data.images,
        "beta_vae",
        beta=beta,
        latent=6,
        net=lab.pick("mlp(hidden=(128, 128))", "mlp(hidden=(256, 256))"),
        epochs=lab.pick(9, 40),
        batch_size=lab.pick(64, 128),
        learning_rate=lab.pick(4e-3, 2e-3),
        schedule="cosine",
    )
    for beta in lab.pick((1.0, 2.0), (1.0, 2.0, 4.0))
}

# %%
# Arithmetic: the direction from small to large, or from left to right, is the difference of two
# mean codes. It is added to the codes of *other* pictures, and what is decoded is measured: its ink
# and its centre of gravity.


def measured(images: np.ndarray) -> dict[str, np.ndarray]:
    """Area in pixels, and the centre's coordinates in pixels, of images (n, H, W)."""
    at, area = np.arange(SIDE) + 0.5, images.sum((1, 2))
    return {
        "size": area,
        "x": (images.sum(1) @ at) / area,
        "y": (images.sum(2) @ at) / area,
    }


run = runs[1.0]
areas = measured(data.images)["size"]
sizes = np.ptp([areas[data.factors[:, 1] == s].mean() for s in (0, 3)])
codes, new = run.encode(data.images), run.encode(fresh.images)
lines = {}
for name, column, low, high in (("size", 1, 0, 3), ("x", 2, 1, 6), ("y", 3, 1, 6)):
    value = data.factors[:, column]
    direction = codes[value == high].mean(0) - codes[value == low].mean(0)
    these = fresh.factors[:, column] == low
    before = measured(fresh.images[these])
    after = measured(run.decode(new[these] + direction))
    true = {
        key: measured(data.images[value == v])[name].mean() for key, v in (("a", low), ("b", high))
    }
    moved = (after[name] - before[name]).mean() / (true["b"] - true["a"])
    lab.claim(
        "A48",
        f"'{name}' added: part of the true change that is seen",
        moved,
        "between 0.8 and 1.2",
        quick="between 0.6 and 1.4" if name != "size" else "between 0.05 and 1.5",
    )
    if name != "size":
        lab.claim(
            "A48",
            f"'{name}' added: drift of the size, part of its range",
            np.abs(after["size"] - before["size"]).mean() / sizes,
            "<= 0.05",
            only_full=True,
        )
        rebuilt = measured(run.decode(new[these]))["size"]
        lab.claim(
            "A48",
            f"nothing added before '{name}': drift of the size, part of its range",
            np.abs(rebuilt - before["size"]).mean() / sizes,
        )
    others = [k for k in ("x", "y") if k != name]
    drift = np.mean([np.abs(after[k] - before[k]).mean() for k in others]) / SIDE
    lab.claim(
        "A48",
        f"'{name}' added: drift of the other coordinates, part of the width",
        drift,
        "<= 0.05",
        quick="<= 0.1",
    )
    steps = np.linspace(0, 1.25, 6)[:, None] * direction
    lines[name] = run.decode(new[these][2] + steps.astype(np.float32))

# %%
# Elements: how much each knows of each factor (mutual information, codes in 20 bins). The mutual
# information gap of a factor is that of the best element less that of the second best, as a part of
# the factor's entropy: 1 if one element alone knows all.


def information(z: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The part of each factor's entropy that each element knows, (factors, elements)."""
    cut = np.stack([np.digitize(c, np.histogram_bin_edges(c, 20)[1:-1]) for c in z.T])
    return np.array(
        [[mutual_info_score(f, c) for c in cut] / np.log(f.max() + 1) for f in factors.T]
    )


def gap(known: np.ndarray) -> float:
    """The mutual information gap (Chen and others, 2018), the mean over factors."""
    two = np.sort(known, axis=1)[:, -2:]
    return float((two[:, 1] - two[:, 0]).mean())


truth = fresh.factors.astype(float)
lab.claim(
    "A8",
    "mutual information gap of the factors themselves",
    gap(information(truth, fresh.factors)),
    "within 0.02 of 1",
    quick="within 0.05 of 1",
)
known = {beta: information(r.encode(fresh.images), fresh.factors) for beta, r in runs.items()}
for beta, table in known.items():
    lab.claim("A8", f"mutual information gap, beta = {beta:g}", gap(table))
    lab.claim(
        "A8", f"part of x and y known by the best element, beta = {beta:g}", table[2:].max(1).mean()
    )

rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(run.latent, run.latent)))[0]
turned = gap(information(runs[2.0].encode(fresh.images) @ rotation, fresh.factors))
lab.claim("A8", "mutual information gap, beta = 2, codes rotated (as likely a model)", turned)
lab.claim("A8", "what the rotation takes", gap(known[2.0]) - turned, "> 0", only_full=True)

# %%
# The upper panels show arithmetic; the lower ones what each element knows, and a traversal of the
# four elements with the largest rate.

figure = plt.figure(figsize=(8.6, 5.2), layout="constrained")
grid = figure.add_gridspec(2, 12, height_ratios=[1, 2.2])
for i, (name, images) in enumerate(lines.items()):
    a = figure.add_subplot(grid[0, 4 * i : 4 * i + 4])
    a.imshow(np.concatenate([np.pad(p, 1, constant_values=1) for p in images], 1), cmap="gray_r")
    a.set(xticks=[], yticks=[], xlabel="t from 0 to 1.25")
    a.set_title(f"code + t x direction '{name}'", fontsize=9)
for i, beta in enumerate((1.0, 2.0)):
    table = known[beta]
    a = figure.add_subplot(grid[1, 4 * i : 4 * i + 4])
    shown = a.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    a.set(yticks=range(4), yticklabels=FACTORS, xlabel="element of z", xticks=range(run.latent))
    a.set_title(f"beta = {beta:g}: information gap {gap(table):.2f}", fontsize=9)
figure.colorbar(shown, ax=a, label="part of the factor's entropy known")
order = run.latents.order[:4]
walk = run.traverse(dims=order, steps=7, span=2.0)
a = figure.add_subplot(grid[1, 8:])
a.imshow(walk.transpose(0, 2, 1, 3).reshape(4 * SIDE, 7 * SIDE), cmap="gray_r")
a.set(xticks=[], yticks=[SIDE * (i + 0.5) for i in range(4)], xlabel="from -2 to 2 sd")
a.set_yticklabels([f"z{d}" for d in order])
a.set_title("traversals, beta = 1", fontsize=9)
lab.finish(figure)
