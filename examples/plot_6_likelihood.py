"""
The bound tightens with k
=========================

The mean of k importance weights bounds the log-likelihood from below, the tighter the larger k.
"""

import matplotlib.pyplot as plt

import diabolo
from diabolo.evaluate import log_likelihood

run = diabolo.fit("digits", latent=8, net="mlp", epochs=20)
test = run.data("test") or run.data("valid")

# %%
# The draws of a smaller k are among those of a larger one, and the images are the same throughout,
# so that the curve shows the bound and not the luck of the draw. The error of another test set is
# common to all of its points.

ks = [1, 3, 10, 30, 100, 300]
found = [log_likelihood(run.model, test, k=k) for k in ks]
for k, e in zip(ks, found, strict=True):
    print(f"k = {k:3}: {e.value:8.2f} nats, test set +- {e.data_stderr:.2f}")

# %%
figure, axes = plt.subplots(figsize=(5, 3.2))
axes.semilogx(ks, [e.value for e in found], marker="o")
axes.set(xlabel="k", ylabel="nats per image")
figure.tight_layout()
