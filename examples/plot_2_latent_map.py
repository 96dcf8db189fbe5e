"""
The map of the codes
====================

With two latents everything that the model knows of a digit is a point in the plane.
"""

import diabolo
from diabolo import panels

run = diabolo.fit("digits", latent=2, epochs=25)

# %%
# Where test images lie, coloured by their labels, which training never saw.

latent_map = panels.PANELS.load("latent_map")(run)

# %%
# What lies where: images decoded on a grid of equal prior probability.

manifold = panels.PANELS.load("manifold")(run)

# %%
# A way between two images, decoded step by step.

test = run.data("test") or run.data("valid")
codes = run.encode(test)
way = run.interpolate(codes[0], codes[1], steps=6)
print(way.shape)
