r"""The normal posterior to which every entry that was seen adds a factor of its own.

.. math::
    q(z \mid x) \propto \mathcal{N}(z; 0, I) \; \mathcal{N}(z; \mu_\phi(x), \Lambda_\phi(x)^{-1})
    \prod_{i \text{ seen}} \exp\big(-\tfrac12 e^{2 g_i} (a_i^\top z - t_i h_i - c_i)^2\big)

An entry that was not seen leaves its factor out, as it does in p(z | seen entries of x), so that
no network has to learn what each pattern of holes does to q. Where p(z) is standard normal and
p(x | z) normal with a mean that is linear in z, q can be exact for all patterns at once: a, c and g
are then the decoder's weights, bias and noise.

Shapes: B batch, H numbers that the encoder sees of one datum, V values among them, D latent
elements, E event shape of x.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..distributions import MultivariateNormal
from ..nets import NETS, Net
from ..spec import Spec
from ..views import Viewing
from ._raw import raw_of

__all__ = ["ExpertsPosterior", "experts"]

SPEED = 3.0  # of a log-gain: one number has to keep up with the many of a direction


class ExpertsPosterior(nn.Module):
    """q(z | x, c), the product of a standard normal density, a network's and one of each value.

    Arguments:
        net: Maps (B, *I) and a condition to (B, 2 D): a mean, and raw numbers of its precision.
        values: Where the values are in what the encoder sees, (V,), int64.
        flags: Where it sees whether each of them was seen, (V,), int64; None where all are.
        size: The number D of latent elements.
    """

    values: Tensor
    flags: Tensor | None

    def __init__(self, net: nn.Module, values: Tensor, flags: Tensor | None, size: int) -> None:
        super().__init__()
        self.net, self.size, count = net, size, len(values)
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("flags", flags, persistent=False)
        self.direction = nn.Parameter(torch.randn(count, size) * size**-0.5)
        self.slope = nn.Parameter(torch.ones(count))
        self.offset = nn.Parameter(torch.zeros(count))
        self.log_gain = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor, c: Tensor | None = None) -> MultivariateNormal:
        """Returns the density of z (D,) with batch shape (B,)."""
        raw = raw_of(self.net, x, c, 2 * self.size)
        with torch.autocast(x.device.type, enabled=False):
            # Precisions of entries that nearly follow from z go beyond what float32 can invert.
            exact = raw.dtype if x.device.type == "mps" else torch.float64
            own, sharp = raw.to(exact).tensor_split(2, dim=-1)
            sharp = F.softplus(sharp)
            h = x.flatten(1).to(exact)
            gain = torch.exp(SPEED * self.log_gain.to(exact))
            a = gain[:, None] * self.direction.to(exact)  # (V, D)
            read = gain * (self.slope * h[:, self.values] + self.offset)  # (B, V)
            seen = torch.ones_like(read) if self.flags is None else h[:, self.flags]
            outer = (a[:, :, None] * a[:, None, :]).flatten(1)  # (V, D * D)
            precision = (seen @ outer).unflatten(1, (self.size, self.size))
            precision = precision + torch.diag_embed(1 + sharp)
            natural = (seen * read) @ a + sharp * own
            # The precision is U U^T with U zero below its diagonal; U^-T is the lower factor.
            upper = torch.linalg.cholesky(precision.flip(-1, -2)).flip(-1, -2)
            eye = torch.eye(self.size, dtype=exact, device=upper.device)
            low = torch.linalg.solve_triangular(upper, eye, upper=True).mT
            loc = (low @ (low.mT @ natural[..., None])).squeeze(-1)
        return MultivariateNormal(loc.to(raw.dtype), low.to(raw.dtype))


def experts(
    inputs: tuple[int, ...],
    latent: int,
    condition: int = 0,
    *,
    net: Net,
    view: Viewing | None = None,
    spec: Spec | None = None,
) -> ExpertsPosterior:
    """Returns q(z | x, c), a product of normal factors: one of each entry seen, one of a network.

    References:
        | Multimodal Generative Models for Scalable Weakly-Supervised Learning (Wu & Goodman, 2018),
        | section 2.2, where the experts are modalities, https://arxiv.org/abs/1802.05335

    Arguments:
        inputs: The shape of what the encoder sees.
        latent: The number D of latent elements.
        condition: The width C of the condition.
        net: The encoder: a network's name with options, or a user's own module with 2 D outputs.
        view: What makes that of x; None where all of it is values that were seen.
        spec: What is known of x, likewise.
    """
    body = NETS.module(net, inputs, (2 * latent,), condition)
    if view is None or spec is None or not spec.missing:
        return ExpertsPosterior(body, torch.arange(prod(inputs)), None, latent)
    return ExpertsPosterior(body, *_places(view, spec.event), latent)


def _places(view: Viewing, event: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns where a view shows values, (V,), and where it tells of each whether it was seen."""
    one = torch.eye(prod(event), dtype=torch.bool).unflatten(1, event)  # each entry by itself
    owned = view.values(one).flatten(1)  # (E, H)
    values = owned.any(0).nonzero().flatten()
    x = torch.ones(one.shape)
    with torch.no_grad():
        changed = (view(x, one) != view(x, torch.zeros_like(one))).flatten(1) & ~owned
    flags = changed.int().argmax(1)  # of each entry, (E,)
    return values, flags[owned.int().argmax(0)[values]]
