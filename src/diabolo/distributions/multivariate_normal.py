r"""The normal density with a full covariance, by its Cholesky factor.

.. math:: \log p(x) = -\tfrac12 \|L^{-1} (x - \mu)\|^2 - \textstyle\sum_i \log L_{ii}
    - \tfrac{D}{2} \log 2\pi, \qquad \Sigma = L L^\top

Shapes: `*` any batch, most often (K, B); D elements of x; S samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._shapes import broadcast_shapes
from .base import Distribution
from .normal import HALF_LOG_2PI, Normal

__all__ = ["MultivariateNormal"]


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Distribution):
    """A vector whose elements are normal together.

    Arguments:
        loc: The mean, (*, D).
        scale_tril: The Cholesky factor L of the covariance, (*, D, D): zero above its diagonal,
            positive on it.
    """

    loc: Tensor
    scale_tril: Tensor
    event_ndim = 1

    def parameter_axes(self, name: str) -> int:
        """One of the mean, two of the factor."""
        return 2 if name == "scale_tril" else 1

    @property
    def _log_diagonal(self) -> Tensor:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log()

    def _normaliser(self) -> Tensor:
        return self._log_diagonal.sum(-1) + HALF_LOG_2PI * self.loc.shape[-1]

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*).

        Raises:
            DiaboloError: If some elements are unseen.
        """
        if mask is not None:
            raise DiaboloError("MultivariateNormal has a density of whole vectors only.")
        away = self._by_rows(_divide, (x - self.loc).to(self.scale_tril.dtype))
        return -0.5 * away.square().sum(-1) - self._normaliser()

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns `loc` + L noise."""
        return self.rsample_and_log_prob(shape, noise)[0]

    def rsample_and_log_prob(
        self, shape: tuple[int, ...] = (), noise: Noise = FRESH
    ) -> tuple[Tensor, Tensor]:
        """Returns samples and their log-density, which needs no system to be solved."""
        size = (*shape, *self.batch_shape, self.loc.shape[-1])
        standard = noise.normal(size, self.loc)
        with torch.autocast(standard.device.type, enabled=False):
            x = self.loc + self._by_rows(torch.matmul, standard)
        return x, -0.5 * standard.square().sum(-1) - self._normaliser()

    def _by_rows(self, apply: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> Tensor:
        """Applies the factor to vectors (*S, *, D), to all samples of one density at once."""
        batch = self.batch_shape
        lead = broadcast_shapes(x.shape[:-1], batch)
        x = x.expand(*lead, x.shape[-1])
        own = x.shape[len(lead) - len(batch) :]
        columns = x.reshape(-1, *own).movedim(0, -1)  # (*, D, S)
        return apply(self.scale_tril, columns).movedim(-1, 0).reshape(x.shape)

    def kl_to(self, other: Distribution) -> Tensor | None:
        """Returns KL(self || other), (*), for a normal density of either kind."""
        if isinstance(other, Normal) and other.event_ndim == 1:
            narrow = torch.exp(-other.log_scale)
            ratio = self.scale_tril * narrow[..., None]
            shift = (self.loc - other.loc) * narrow
        elif isinstance(other, MultivariateNormal):
            ratio = _divide(other.scale_tril, self.scale_tril)
            shift = _divide(other.scale_tril, (self.loc - other.loc)[..., None]).squeeze(-1)
        else:
            return None
        log_ratio = ratio.diagonal(dim1=-2, dim2=-1).log()
        square = ratio.tril(-1).square().sum((-2, -1)) + shift.square().sum(-1)
        # As for one element: no first-order rounding is left where the two are nearly the same.
        return 0.5 * square + (0.5 * torch.expm1(2 * log_ratio) - log_ratio).sum(-1)

    def kl_from(self, other: Distribution) -> Tensor | None:
        """Returns KL(other || self), (*), for a diagonal normal density."""
        if not isinstance(other, Normal) or other.event_ndim != 1:
            return None
        return MultivariateNormal(other.loc, other.scale_tril).kl_to(self)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def covariance(self) -> Tensor:
        """The covariance L L^T, (*, D, D)."""
        with torch.autocast(self.scale_tril.device.type, enabled=False):
            return self.scale_tril @ self.scale_tril.mT

    @property
    def variance(self) -> Tensor:
        """The variance of each element, the diagonal of L L^T."""
        return self.scale_tril.square().sum(-1)


def _divide(factor: Tensor, columns: Tensor) -> Tensor:
    """Returns L^-1 applied to columns (*, D, S)."""
    return torch.linalg.solve_triangular(factor, columns, upper=False)
