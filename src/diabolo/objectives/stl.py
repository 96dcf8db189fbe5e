"""The evidence lower bound with a gradient that sticks the landing.

Shapes: K posterior samples, B batch.
"""

from __future__ import annotations

from torch import Tensor

from ..model import Trace
from .base import declare, posterior_of
from .elbo import elbo
from .gradients import parted, with_gradient_of

__all__ = ["stl"]


@declare(groups=1)
def stl(t: Trace) -> Tensor:
    r"""Evidence lower bound whose encoder learns through the samples only.

    .. math::
        \nabla_\phi = \mathbb{E}\Big[\frac{\partial}{\partial z}
        \big(\log p(x, z) - \log q(z \mid x)\big) \frac{\partial z}{\partial \phi}\Big]

    The value is that of `elbo`, its rate in closed form where there is one. The gradient is that
    of the sampled log p(x, z) - log q(z | x) without the score of q, whose mean is 0: it has the
    same mean, and is 0 for each sample where q is the posterior.

    References:
        | Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational
        | Inference (Roeder, Wu & Duvenaud, 2017), https://arxiv.org/abs/1703.09194

    Arguments:
        t: A trace with one latent group whose posterior can be stopped.

    Returns:
        The bound in nats, (B,).

    Raises:
        DiaboloError: If there are several groups, or the posterior is unknown.
    """
    d = parted(t, "Sticking the landing")
    log_q = posterior_of(d, "Sticking the landing").detach().log_prob(d.z)
    return with_gradient_of(elbo(t), (t.log_px + d.log_p - log_q).mean(0) - t.penalty)
