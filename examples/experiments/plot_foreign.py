"""
Which scores know foreign data
==============================

The likelihood that a model gives to an image seems to be the score for anomalies: what it never
saw ought to be unlikely. It is the classical trap. A model of clothes finds digits *likelier* than
clothes, since an empty ground is easy to predict, and the other way round all looks well. So a
score must be tried both ways.

The scores are those of `diabolo.anomalies`. Two are made for the trap: `complexity` takes away what
a plain compressor needs for the image, and `regret` asks how much better the image would be
explained by a posterior of its own. `typicality` calls strange what is far too likely, too.
"""

import matplotlib.pyplot as plt
import numpy as np
from experiment import Experiment
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import diabolo

lab = Experiment("foreign")
SCORES = {
    "log_likelihood": f"log_likelihood(k={lab.pick(10, 100)})",
    "distortion": "distortion",
    "rate": "rate",
    "latent_distance": "latent_distance",
    "excess": "excess(of=code)",
    "typicality": f"typicality(k={lab.pick(10, 100)})",
    "complexity": f"complexity(k={lab.pick(10, 100)})",
    "regret": f"regret(steps={lab.pick(20, 100)}, k={lab.pick(20, 100)})",
}

# %%
# **Two sets, each foreign to the other.** Clothes and handwritten digits of 28 x 28 pixels in 256
# grey levels. At quick settings: digits of 8 x 8 pixels, and the same with noise.

if lab.full:
    names = ("clothes", "digits")
    options = {"latent": 16, "net": "mlp(hidden=(256, 256))", "epochs": 10, "batch_size": 128,
               "learning_rate": 1e-3, "schedule": "cosine", "support": "byte"}  # fmt: skip
    config = diabolo.DataConfig(**lab.source)
    both = [diabolo.data.load(n, config).splits for n in ("fashion_mnist", "mnist")]
    known = [splits.train.x[:10_000, 0].numpy() for splits in both]
    tests = [splits.test.x[:300, 0].numpy() for splits in both]
else:
    names = ("noisy digits", "digits")
    options = {"latent": 4, "net": "mlp(hidden=(64,))", "epochs": 12, "batch_size": 64,
               "learning_rate": 5e-3, "support": "byte:17"}  # fmt: skip
    grey = load_digits().images
    noise = np.random.default_rng(0).integers(-4, 5, grey.shape)
    every = [np.clip(grey + noise, 0, 16).astype(np.uint8), grey.astype(np.uint8)]
    known, tests = [x[:1400] for x in every], [x[1400:1550] for x in every]
runs = [diabolo.fit(x, **options) for x in known]

# %%
# **Every score, both ways.** The area under the ROC curve is the probability that a foreign image
# is stranger than one of the model's own kind: 1/2 is a coin, and below it the score is misled.

area = np.zeros((len(SCORES), 2))
found = {}
for way in range(2):
    own, foreign = tests[way], tests[1 - way]
    truth = np.repeat([0, 1], [len(own), len(foreign)])
    for row, (name, call) in enumerate(SCORES.items()):
        both = np.concatenate([own, foreign])
        found[name, way] = diabolo.anomalies(runs[way], both, score=call).scores
        area[row, way] = roc_auc_score(truth, found[name, way])
        said = f"AUROC of {name}, model of {names[way]}, {names[1 - way]} foreign"
        trap, answer = (name, way) == ("log_likelihood", 0), name == "complexity"
        lab.claim("A1", said, area[row, way],
                  "< 0.3" if trap else ">= 0.9" if answer and lab.full else None)  # fmt: skip

survive = [name for name, a in zip(SCORES, area, strict=True) if a.min() >= 0.9]
print("at least 0.9 both ways:", ", ".join(survive) or "none")
lab.claim("A1", "scores with an AUROC of 0.9 or more both ways", len(survive), ">= 1",
          only_full=True)  # fmt: skip

# %%
# Left, the trap: log-likelihoods of both sets under the model of clothes. Right, all scores.

figure = plt.figure(figsize=(9, 3.6), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
likely = -found["log_likelihood", 0]
bins = np.linspace(*np.quantile(likely, [0.01, 0.99]), 40)
left.hist(likely[: len(tests[0])], bins, alpha=0.6, label=f"{names[0]}, its own")
left.hist(likely[len(tests[0]) :], bins, alpha=0.6, label=f"{names[1]}, foreign")
left.set(xlabel="log p(x), nats", yticks=[], title=f"model of {names[0]}")
left.legend(frameon=False, fontsize=8)
at = np.arange(len(SCORES))
for way, color in enumerate(("tab:blue", "tab:orange")):
    label = f"model of {names[way]}"
    right.barh(at + (0.2 if way else -0.2), area[:, way], 0.38, color=color, label=label)
right.axvline(0.5, color="0.3", lw=0.8, ls=":")
right.set(yticks=at, yticklabels=list(SCORES), xlim=(0, 1), xlabel="AUROC against the other set")
right.invert_yaxis()
right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
lab.finish()
