r"""VAE with a price of the rate, linear or cyclical warm-up, free bits, and a trimmed bound.

.. math:: \mathbb{E}_q[\log p_\theta(x \mid z)] - \beta \, \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))

References:
    | beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework
    | (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl
    | Generating Sentences from a Continuous Space (Bowman et al., 2016), for warm-up
    | https://arxiv.org/abs/1511.06349
    | Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing (Fu et al., 2019)
    | https://arxiv.org/abs/1903.10145
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016), for
    | free bits, https://arxiv.org/abs/1606.04934
    | Learning with Bad Training Data via Iterative Trimmed Loss Minimization
    | (Shen & Sanghavi, 2019), for the trimmed bound, https://arxiv.org/abs/1810.11874
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from .. import objectives
from ..errors import DiaboloError
from ..model import Recipe
from ..registry import extends
from ..spec import Spec
from . import _parts as parts
from .vae import vae

__all__ = ["beta_vae"]


@extends(vae)
def beta_vae(
    spec: Spec,
    *,
    beta: float = 4.0,
    warmup: float = 0.0,
    cycles: int = 1,
    free_bits: float = 0.0,
    per: Literal["dimension", "group"] = "dimension",
    trim: float = 0.0,
    **options: Any,
) -> Recipe:
    """A VAE that pays `beta` for each nat of rate.

    Arguments:
        spec: What is known of the data.
        beta: The price of one nat; 1 is the VAE, more asks for a simpler code.
        warmup: The part of training, or of each cycle, over which the price rises from 0.
        cycles: How often the price rises anew; Fu et al. take 4 with `warmup=0.5` and `beta=1`.
        free_bits: The rate in nats, a mean over the batch, that each `per` has for free.
        per: `dimension` or `group`.
        trim: The part of each batch, of the lowest bounds, that is not learned, so that anomalies
            among the training data do not bend the fit.
        options: Those of `vae`.
    """
    parts.at_least(0, beta=beta, free_bits=free_bits)
    parts.choice(("dimension", "group"), per=per)
    if per != "dimension" and not free_bits:
        raise DiaboloError("per has an effect with free_bits above 0 only.")
    parts.fraction(trim=trim)
    if trim and (free_bits or warmup or trim == 1):
        raise DiaboloError(
            "trim is a part of each batch below 1, and goes with neither free_bits nor warmup."
        )
    objective = partial(objectives.trimmed, part=trim) if trim else objectives.elbo
    if free_bits:
        objective = partial(objectives.free_bits, nats=free_bits, per=per)
    priced = parts.warmed(warmup, objective, beta=beta, cycles=cycles)
    return vae(spec, **options)._replace(objective=priced)
