r"""The importance-weighted bound with an encoder gradient of several smaller bounds.

One pass back through the decoder serves both: with w the weights of the bound of all samples, and
v those of the smaller bounds, samples are weighed by w, and z passes their gradient on times v / w.

Shapes: K = M L posterior samples, M bounds, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import Trace
from .base import declare, posterior_of
from .gradients import parted, weigh_gradient, with_gradient_of
from .iwae import iwae
from .miwae import weights

__all__ = ["piwae"]


@declare(importance=True, groups=1)
def piwae(t: Trace, *, bounds: int) -> Tensor:
    r"""Importance-weighted bound of K samples that teaches the encoder as `miwae` does.

    .. math::
        \nabla_\theta = \nabla_\theta \, \mathrm{IWAE}(M L), \qquad
        \nabla_\phi = \nabla_\phi \, \mathrm{MIWAE}(M, L)

    The value is that of `iwae`. A prior counts with the decoder, though it share weights with the
    encoder. It puts a hook on the trace's z, so that it is to be called once for a trace, and the
    penalty's gradient must not flow through z.

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), section 5
        | https://arxiv.org/abs/1802.04537

    Arguments:
        t: A trace with K = M L samples of one latent group whose posterior can be stopped.
        bounds: The number M of bounds that the encoder learns from.

    Returns:
        The bound in nats, (B,).

    Raises:
        DiaboloError: If K is no multiple of M, there are several groups, or the posterior is
            unknown.
    """
    d = parted(t, "PIWAE")
    q = posterior_of(d, "PIWAE")
    small = weights(t, bounds=bounds).detach()  # (K, B)
    whole = t.log_weight.softmax(0).detach()
    # A bound whose samples are all poor has a weight of 0 in the whole, and its gradient could not
    # be brought back. What is put in its place lies far below the rounding of any sum.
    rounding = torch.finfo(small.dtype).eps ** 2
    whole = torch.maximum(whole, rounding * small)
    weigh_gradient(d.z, small / whole.clamp(min=torch.finfo(small.dtype).tiny))
    through = whole * (t.log_px + d.log_p - q.detach().log_prob(d.z))
    direct = small * q.log_prob(d.z.detach())
    return with_gradient_of(iwae(t), (through - direct).sum(0) - t.penalty)
