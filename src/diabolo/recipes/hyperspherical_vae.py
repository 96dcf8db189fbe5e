r"""VAE whose codes are directions.

.. math::
    z \sim \mathrm{Uniform}(S^{D-1}), \qquad x \sim p_\theta(x \mid z), \qquad
    q_\phi(z \mid x) = \mathrm{vMF}(\mu_\phi(x), \kappa_\phi(x))

References:
    | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018)
    | https://arxiv.org/abs/1804.00891
"""

from __future__ import annotations

from typing import Any

from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from .vae import vae

__all__ = ["hyperspherical_vae"]


@extends(vae, "prior", "posterior")
def hyperspherical_vae(spec: Spec, *, latent: int = 10, **options: Any) -> Recipe:
    """A VAE on the unit sphere, where the prior has no centre to draw codes to.

    One number says how narrow a posterior is in all directions, so that many coordinates, some of
    them without use, cost more than they do elsewhere. Decoders read sqrt(D) z.

    Arguments:
        spec: What is known of the data.
        latent: The number D of coordinates: 3 is the sphere in space, a surface.
        options: Those of `vae` but prior and posterior.
    """
    return vae(spec, latent=latent, prior="uniform_sphere", posterior="vmf", **options)
