"""
A digit of your choice
======================

A conditional model is told the label, so its code holds what the label does not say: the style.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

import diabolo

digits = load_digits()
images = digits.images / 16  # 17 equally spaced values in [0, 1]: recognised as grey levels
run = diabolo.fit(images, "cvae", labels=digits.target, condition="labels", latent=8, epochs=25)

# %%
# Each row is the code of one image, decoded under every label: the style stays, the digit changes.

codes = run.encode(images[:5], labels=digits.target[:5])
figure, axes = plt.subplots(5, 11, figsize=(7, 3.4))
for i, row in enumerate(axes):
    row[0].imshow(images[i], cmap="gray_r")
    row[0].set_title("image" if i == 0 else "", fontsize=8)
    for label in range(10):
        row[label + 1].imshow(run.decode(codes[i : i + 1], label=label)[0], cmap="gray_r")
        row[label + 1].set_title(str(label) if i == 0 else "", fontsize=8)
for a in axes.flat:
    a.axis("off")
figure.tight_layout()
