r"""A latent whose prior is itself a latent-variable model.

.. math:: p(z_1, z_2, \dots) = p(z_1 \mid z_2) \, p(z_2) \cdots, \qquad
    q(z_1, z_2, \dots \mid x) = q(z_1 \mid x) \, q(z_2 \mid z_1) \cdots

Shapes: K posterior samples, B batch, D latent shape, N = K * B.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from ..distributions import Distribution, kl_divergence, kl_elements
from ..model import Draw, Inferred, LatentModel
from ..noise import FRESH, Noise
from ._meeting import meeting

__all__ = ["Nested"]


class Nested(nn.Module):
    """One group inferred from x, whose prior is a model that infers the further groups from it.

    Arguments:
        posterior: Maps what the encoder sees, and c, to q(z1 | x, c).
        prior: p(z1, z2, ... | c), whose data are z1.
        size: The number D of elements of z1.

    Raises:
        DiaboloError: If posterior and prior are densities on different spaces.

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 2.2
        | https://arxiv.org/abs/1509.00519
    """

    deterministic = False

    def __init__(self, posterior: nn.Module, prior: LatentModel, size: int) -> None:
        super().__init__()
        meeting(posterior, prior.likelihood)
        self.posterior, self.prior, self.size = posterior, prior, size

    @property
    def groups(self) -> tuple[int, ...]:
        """The elements of z1, and of each further group, as the inner model has them now."""
        return (self.size, *self.prior.groups)

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K samples of every group for each datum; the code is z1."""
        q = self.posterior(x, c)
        z, log_q = q.rsample_and_log_prob((k,), noise)  # (K, B, D)
        lead = (k, x.shape[0])
        again = None if c is None else c.expand(*lead, -1).flatten(0, 1)
        inner = self.prior(z.flatten(0, 1), again, noise=_FoldedNoise(noise, lead))
        # Given z2, which was drawn from q(z2 | z1), the rate of z1 has no closed form: no p here.
        first = Draw(z, log_q, inner.log_px.reshape(lead), q)
        rest = tuple(_unfold(d, lead) for d in inner.draws)
        penalty = inner.penalty
        if penalty.ndim:
            penalty = penalty.reshape(lead).mean(0)
        return Inferred(z, (first, *rest), penalty)

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns n draws of z1, (n, D), from the top down."""
        return self.prior.sample(n, c, noise=noise).sample((), noise)

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns z1, the first group: given it, x depends on no other."""
        return z[:, : self.size]


class _FoldedNoise(Noise):
    """Noise for a batch of N = K * B that keeps each number with its sample and its row."""

    def __init__(self, noise: Noise, lead: tuple[int, int]) -> None:
        self.noise, self.lead = noise, lead

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the outer noise's numbers of shape (K, B, *D) as (1, N, *D)."""
        return self.noise.normal((*self.lead, *shape[2:]), like).reshape(shape)

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns the outer noise's numbers of shape (K, B, *D) as (1, N, *D)."""
        return self.noise.uniform((*self.lead, *shape[2:]), like).reshape(shape)


@dataclass(frozen=True, eq=False)
class _Unfolded(Distribution):
    """A density over a batch of N, read as one over (K, B)."""

    base: Distribution
    lead: tuple[int, int]

    @property
    def event_ndim(self) -> int:  # type: ignore[override]
        """The number of axes of the base's events."""
        return self.base.event_ndim

    @property
    def batch_shape(self) -> torch.Size:
        """(K, B)."""
        return torch.Size(self.lead)

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the base's log-density of x (K, B, *D), (K, B)."""
        flat = None if mask is None else mask.flatten(0, 1)
        return self.base.log_prob(x.flatten(0, 1), flat).reshape(self.lead)

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns the base's samples (*shape, K, B, *D)."""
        return self._back(self.base.rsample(self._wanted(shape), noise), len(shape))

    def sample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns the base's samples without gradients, (*shape, K, B, *D)."""
        return self._back(self.base.sample(self._wanted(shape), noise), len(shape))

    def _wanted(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The samples to ask of the base: one for each of N where it is one density for all."""
        return shape if self.base.batch_shape else (*shape, prod(self.lead))

    def kl_elements(self, other: _Unfolded) -> Tensor | None:
        """Returns the bases' divergence of each element, (K, B, *D), where there is one."""
        elements = kl_elements(self.base, other.base)
        return None if elements is None else self._back(elements)

    def kl_to(self, other: Distribution) -> Tensor | None:
        """Returns the bases' divergence, (K, B), where there is one."""
        found = kl_divergence(self.base, other.base) if isinstance(other, _Unfolded) else None
        return None if found is None else found.expand(prod(self.lead)).reshape(self.lead)

    @property
    def mean(self) -> Tensor:
        """The base's mean, (K, B, *D)."""
        return self._back(self.base.mean)

    @property
    def variance(self) -> Tensor:
        """The base's variance, (K, B, *D)."""
        return self._back(self.base.variance)

    def _back(self, t: Tensor, at: int = 0) -> Tensor:
        event = t.shape[t.ndim - self.event_ndim :]
        n = self.lead[0] * self.lead[1]
        return t.expand(*t.shape[:at], n, *event).reshape(*t.shape[:at], *self.lead, *event)


def _unfold(d: Draw, lead: tuple[int, int]) -> Draw:
    """One group of the inner model, whose batch of N at one sample is K samples of B data."""

    def unfolded(p: Distribution) -> _Unfolded:  # in a model within the inner one, N is (1, N)
        return _Unfolded(p.base if isinstance(p, _Unfolded) else p, lead)

    return Draw(
        d.z.reshape(*lead, *d.z.shape[2:]),
        d.log_q.reshape(lead),
        d.log_p.reshape(lead),
        None if d.q is None else unfolded(d.q),
        None if d.p is None else unfolded(d.p),
    )
