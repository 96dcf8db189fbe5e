"""The importance-weighted bound with a doubly reparameterised gradient.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .base import declare, posterior_of
from .gradients import parted, weigh_gradient, with_gradient_of
from .iwae import iwae

__all__ = ["dreg"]


@declare(importance=True, groups=1)
def dreg(t: Trace) -> Tensor:
    r"""The importance-weighted bound with its doubly reparameterised gradient.

    .. math::
        \nabla_\phi = \mathbb{E}\Big[\sum_k \hat w_k^2 \,
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big]

    The value and the expected gradient are those of `iwae`; the encoder's gradient has a signal
    that does not vanish as K grows. It puts a hook on the trace's z, so that it is to be called
    once for a trace, and the penalty's gradient must not flow through z.

    References:
        | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives
        | (Tucker et al., 2019), https://arxiv.org/abs/1810.04152, eq. 8

    Arguments:
        t: A trace with one latent group whose posterior can be stopped.

    Returns:
        The bound in nats, (B,).

    Raises:
        DiaboloError: If there are several groups, or the posterior is unknown.
    """
    d = parted(t, "DReG")
    weight = t.importance.detach()  # (K, B)
    log_q = posterior_of(d, "DReG").detach().log_prob(d.z)  # no gradient to q's parameters but by z
    weigh_gradient(d.z, weight)
    through = (weight * (t.log_px + d.log_p - log_q)).sum(0) - t.penalty
    return with_gradient_of(iwae(t), through)
