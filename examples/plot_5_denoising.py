"""
A denoising autoencoder
=======================

It reads corrupted images in training and answers for the clean ones. It is deterministic: it has
codes and reconstructions, but no prior, no samples and no likelihood.
"""

import matplotlib.pyplot as plt
import numpy as np

import diabolo

run = diabolo.fit(
    "digits", "denoising_ae", noise="masking", level=0.4, latent=16, net="mlp", epochs=30
)
test = run.data("test") or run.data("valid")
clean = run.schema.restore(test.batch(test.rows.new_tensor(range(8))).x)

# %%
# Pixels put to 0, and what the model makes of the rest.

holes = np.random.default_rng(0).random(clean.shape) < 0.4
broken = np.where(holes, 0, clean).astype(clean.dtype)
mended = run.reconstruct(broken)
figure, axes = plt.subplots(3, 8, figsize=(7, 2.8))
for row, images in zip(axes, (clean, broken, mended), strict=True):
    for a, image in zip(row, images, strict=True):
        a.imshow(np.squeeze(image), cmap="gray_r", vmin=0, vmax=clean.max())
        a.axis("off")
figure.tight_layout()

# %%
# Asked for what it does not have, it says so.

try:
    run.sample(4)
except diabolo.DiaboloError as error:
    print(error)
