"""
Rate and distortion
===================

The price beta of one nat of rate decides how much of an image the code tells.
"""

import matplotlib.pyplot as plt

import diabolo

NET = "mlp(hidden=(128, 128))"
prices = [0.25, 1.0, 4.0, 16.0]
points = []
for beta in prices:
    run = diabolo.fit("digits", "beta_vae", beta=beta, latent=8, net=NET, epochs=15)
    found = run.evaluate(k=1)
    points.append((found.bound.rate[0].value, found.distortion.value))
    print(f"beta {beta:5}: rate {points[-1][0]:6.2f}, distortion {points[-1][1]:7.2f} nats")

# %%
# A nat that is spent on the code saves about beta nats of distortion. Their sum, the negative ELBO,
# is least near a price of 1, which is why models are compared there.

figure, axes = plt.subplots(figsize=(5, 3.5))
axes.plot(*zip(*points, strict=True), marker="o")
for beta, (rate, distortion) in zip(prices, points, strict=True):
    axes.annotate(f"beta = {beta:g}", (rate, distortion), xytext=(6, 4), textcoords="offset points")
axes.set(xlabel="rate (nats)", ylabel="distortion (nats)")
axes.margins(0.2)
figure.tight_layout()
