"""
A variational autoencoder of handwritten digits
===============================================

Training, samples, reconstructions, and what the numbers say.
"""

import diabolo
from diabolo import panels

# %%
# The digits are 8 x 8 images with 17 grey levels, so the likelihood is a discrete one.

run = diabolo.fit("digits", latent=8, epochs=25)
run

# %%
# New digits: codes drawn from the prior, decoded, then drawn from p(x | z).

samples = panels.PANELS.load("samples")(run)

# %%
# Test images and what the model makes of their codes.

reconstructions = panels.PANELS.load("reconstructions")(run)

# %%
# Bounds in nats per image, each with the error of the estimator and of the test set.

for row in run.evaluate(k=100).rows():
    print(f"{row.name:20} {row.value:9.2f} {row.unit:5} {row.how}")

# %%
# The course of training: the best weights are those of the best validation ELBO.

learning_curve = panels.PANELS.load("learning_curve")(run)
