r"""
A digit on demand
=================

A conditional VAE that is given the label of each image in training can be asked for a class
afterwards: :math:`z \sim p(z)`, then :math:`x \sim p(x \mid z, y)` with the y that is wanted. How
good it is can be said in nats: :math:`\log p(x \mid y)` of test images under their own labels, and
whether a classifier finds the label in what was drawn.

**In the notes:** the label is taken for "what is generated". It is what is given. It saves little,
too: since :math:`p(x) = \sum_y p(y)\, p(x \mid y)`, for ten equal classes

.. math:: \log p(x \mid y) - \log p(x) = \log p(y \mid x) + \log 10 \le \log 10 = 2.303,

nats of the hundred or so that an image costs. What the label buys is not nats, but obedience.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import Experiment
from handwriting import Judge, digits

import diabolo
from diabolo.evaluate import log_likelihood

lab = Experiment("label_conditional")
settings = {"epochs": 22, "latent": 6, "net": "mlp(hidden=(128,))", "batch_size": 64}
if lab.full:
    settings = {"epochs": 400, "minutes": 3.2, "latent": 40, "learning_rate": 2e-3, "ema": 0.999}
    settings |= {"net": "mlp(hidden=(512, 512), activation=gated)", "batch_size": 256}
run = diabolo.fit(
    lab.pick("digits", "mnist"),
    "cvae",
    condition="labels",
    binarize="dynamic",
    schedule="cosine",
    **settings,
    **lab.source,
)

# %%
# Published for label-conditional models of dynamically binarised MNIST, trained with 1, 5 and 50
# importance samples: -82.32, -81.41 and -80.78 nats. Those were trained for hours; this one has a
# few minutes of one core, and the ordinary bound (one sample).

test = run.data("test")
few = test.take(torch.arange(0, len(test), lab.pick(2, 5)))
ks = lab.pick([1, 10, 50], [1, 10, 100, 500])
found = [log_likelihood(run.model, few, k=k) for k in ks]
last = found[-1]
lab.claim(
    "A36",
    "log p(x|label), test images",
    last.value,
    ">= -82.82",
    only_full=True,
    unit="nats",
    stderr=last.data_stderr,
    given="near -82.32 (k = 1)",
    changed="'near' is read as at most half a nat below",
)
lab.claim(
    "A36", "distance to the published models trained with k = 5", last.value + 81.41, unit="nats"
)
lab.claim(
    "A36", "distance to the published models trained with k = 50", last.value + 80.78, unit="nats"
)

# %%
# What the label saves: no model exceeds log 10 here, by the formula above, and one that draws what
# it is told comes near. And what Bayes' rule makes of it: the class under which an image is
# likeliest is nearly always its own, though nothing was trained to classify.

some = test.take(torch.arange(lab.pick(100, 300)))
each = []
for y in range(10):
    told = torch.nn.functional.one_hot(torch.full((len(some),), y), 10).float()
    under = type(some)(**{**vars(some), "c": told})
    each.append(log_likelihood(run.model, under, k=lab.pick(20, 100)).per_datum)
each = torch.stack(each)  # (10, N): log p(x | y)
own = each[some.labels, torch.arange(len(some))]
saved = own - (each.logsumexp(0) - np.log(10))
lab.claim(
    "A36",
    "what the label saves, log p(x|y) - log p(x), of at most log 10 = 2.303",
    saved.mean(),
    ">= 2",
    quick=">= 1",
    unit="nats",
    stderr=saved.std() / len(saved) ** 0.5,
)
lab.claim(
    "A36",
    "images that are likeliest under their own label",
    (each.argmax(0) == some.labels).double().mean(),
    ">= 0.95",
    quick=">= 0.65",
)

# %%
# A judge that has seen real digits only reads what was drawn on demand.

real, unseen = digits(lab)
judge = Judge(real.images, real.labels, epochs=lab.pick(35, None))
wanted = np.repeat(np.arange(10), lab.pick(20, 200))
drawn = run.sample(len(wanted), label=wanted, mean=True)
drawn = drawn / drawn.max() if drawn.dtype.kind in "iu" else drawn
obeyed = np.mean(judge(drawn.astype(np.float32)) == wanted)
lab.claim(
    "A36",
    "samples in which the judge finds the label asked for",
    obeyed,
    ">= 0.97",
    quick=">= 0.85",
)
lab.claim(
    "A36",
    "real test digits in which it finds their label",
    np.mean(judge(unseen.images) == unseen.labels),
)

# %%

figure, (a, b) = plt.subplots(1, 2, figsize=(8.5, 3.6), width_ratios=[1.25, 1])
shown = drawn.reshape(10, -1, *drawn.shape[1:])[:, :7]  # (10, 7, H, W)
a.imshow(np.concatenate(np.concatenate(shown.transpose(1, 0, 2, 3), axis=1), axis=1), cmap="gray_r")
side = drawn.shape[1]
a.set(xticks=[side * (d + 0.5) for d in range(10)], yticks=[], xticklabels=range(10))
a.set(xlabel="label asked for", title=f"{100 * obeyed:.1f} % obeyed")
b.semilogx(ks, [e.value for e in found], marker="o", label="this model")
if lab.full:
    for value, k, style in ((-82.32, 1, "-"), (-81.41, 5, "--"), (-80.78, 50, ":")):
        b.axhline(value, color="tab:red", ls=style, lw=1, label=f"published, trained with k = {k}")
b.set(xlabel="importance samples k", ylabel="log p(x | label), nats", title="test images")
b.legend(fontsize=8)
figure.tight_layout()
lab.finish()
