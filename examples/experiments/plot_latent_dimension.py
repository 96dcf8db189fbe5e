"""
How many latents?
=================

One architecture, trained with a code of 1 to 10,000 elements. With fewer than four, a model of
digits is noticeably worse. From there on the number hardly matters: what is not needed is switched
off, element by element, since an element that tells nothing costs nothing. At 10,000 training
itself becomes the difficulty: thousands of superfluous elements pour noise into the decoder until
they are silenced.

**Where the notes are vague.** "The model is insensitive to z" is a statement on models that were
trained *to completion*. Silencing takes time, the more the wider the code is. After a small budget,
as here, a code of 1000 elements is far behind one of 32, and spreads about the same rate over all
its elements, a few hundredths of a nat on each, instead of leaving most of them out. The rows below
that ask for 1000 elements to be as good as 32 are probably missed for that reason. Of 10,000 hardly
one counts as active, which is no silence: about the same rate is then two thousandths of a nat on
each, below what the count can see, and the sum of the inactive ones is nearly all that the code
tells.
"""

import matplotlib.pyplot as plt
import torch
from experiment import Experiment

import diabolo
from diabolo.evaluate import active_units, bound

lab = Experiment("latent_dimension")
sizes = lab.pick([2, 8, 32, 64], [1, 2, 3, 4, 8, 16, 32, 100, 1000, 10_000])
epochs = lab.pick(14, 4)
elbo, rate, units, unused = [], [], [], []
for size in sizes:
    run = diabolo.fit(
        lab.pick("digits", "mnist"),
        "vae",
        latent=size,
        net=lab.pick("mlp(hidden=(64,))", "mlp(hidden=(256, 256), activation=gated)"),
        prior="normal",
        epochs=epochs,
        batch_size=lab.pick(64, 250),
        learning_rate=lab.pick(5e-3, 2e-3),
        schedule="cosine",
        precision=lab.pick("float32", "bf16"),
        **lab.source,
    )
    test = run.data("test").take(torch.arange(lab.pick(359, 2000)))
    found, active = bound(run.model, test, samples=4), active_units(run.model, test)
    elbo.append(found.elbo.value)
    rate.append(found.rate[0].value)
    units.append(active.count)
    quiet = found.rate_elements[0][active.variance[0] <= active.threshold]
    unused.append(float(quiet.sum()))
    print(f"{size:6} latents: ELBO {elbo[-1]:8.2f}, rate {rate[-1]:6.2f} nats, {units[-1]} active")

# %%
# **Too few hurt, many do not.** Differences of the test ELBO, in nats an image, on the same bits.

at = dict(zip(sizes, zip(elbo, units, strict=True), strict=True))
enough = lab.pick(8, 32)
lab.claim("A37", f"ELBO at {enough} latents less ELBO at 2", at[enough][0] - at[2][0],
          ">= 30", quick=">= 1.5", unit="nats")  # fmt: skip
wide = lab.pick(64, 1000)
lab.claim("A37", f"|ELBO at {wide} less ELBO at 32|", abs(at[wide][0] - at[32][0]), "<= 2",
          quick="<= 5", unit="nats")  # fmt: skip
if lab.full:
    lab.claim("A37", "ELBO at 10,000 less ELBO at 1000", at[10_000][0] - at[1000][0], "< 0",
              unit="nats")  # fmt: skip

# %%
# **What is not needed falls silent.** Active elements move with x; the others must cost nothing. An
# element counts as active if the variance of its mean exceeds 0.01, so that the mean of one that
# does not costs at most 0.005 nats: what can be too much is the sum of many.

lab.claim("A37", f"active elements at {wide} / at 32", at[wide][1] / at[32][1],
          "between 0.7 and 1.3", quick="between 0.3 and 3")  # fmt: skip
lab.claim("A37", "active elements at 32", at[32][1])
for size in sizes:
    if at[size][1] < size:
        lab.claim("A37", f"rate of all {size - at[size][1]} inactive elements at {size}",
                  unused[sizes.index(size)], "< 1", unit="nats", given="< 0.01 nats each",
                  changed="being inactive nearly says that; their sum is asked for")  # fmt: skip

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
axes[0].semilogx(sizes, elbo, marker="o")
axes[0].set(xlabel="elements of z", ylabel="test ELBO (nats per image)")
axes[0].set_title(f"the bound, after {epochs} epochs each", fontsize=10)
axes[1].loglog(sizes, sizes, color="0.7", linestyle="--", label="elements there are")
axes[1].loglog(sizes, units, marker="o", color="C1", label="active elements")
axes[1].loglog(sizes, rate, marker="s", color="C2", label="rate (nats)")
axes[1].set(xlabel="elements of z", ylim=(0.5, 2e4))
axes[1].legend(frameon=False)
axes[1].set_title("what of it is used", fontsize=10)
for ax in axes:
    ax.grid(True, color="0.92")
lab.finish()
