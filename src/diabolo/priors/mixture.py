"""A learned mixture of normals as prior.

Shapes: M components, D latent elements, n codes.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from ..distributions import Mixture, Normal
from ..distributions.scales import above
from ..errors import DiaboloError
from ..spec import Spec
from ._fitted import Closed

__all__ = ["NormalMixture", "mixture"]

FLOOR = 1e-3
EACH = 10  # data for one component at least
STARTS = 3  # of which the best is taken


class NormalMixture(Closed):
    """p(z) = sum_m w_m N(mean_m, diagonal covariance_m), whatever the condition.

    Arguments:
        size: The number D of latent elements.
        components: The number M of components.

    Raises:
        DiaboloError: If there is no component.
    """

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        if components < 1:
            raise DiaboloError(f"A mixture needs at least 1 component, but got {components}.")
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, size))
        self.log_scale = nn.Parameter(torch.zeros(components, size))

    def forward(self, c: Tensor | None = None) -> Mixture:
        """Returns the density of z (D,), without a batch axis."""
        return Mixture(self.logits, Normal(self.loc, above(self.log_scale, FLOOR), 1))

    @property
    def least(self) -> int:
        """Ten data for each component."""
        return EACH * len(self.logits)

    @torch.no_grad()
    def fit(self, z: Tensor, seed: int) -> None:
        """Takes the parameters that expectation maximisation finds, started by k-means.

        Arguments:
            z: Codes, (n, D).
            seed: The seed of the starts.

        Raises:
            DiaboloError: If there are fewer codes than components.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        count = len(self.logits)
        if len(z) < count:
            raise DiaboloError(
                f"A mixture of {count} components needs as many codes at least, but got {len(z)}."
            )
        em = GaussianMixture(
            count,
            covariance_type="diag",
            reg_covar=(2 * FLOOR) ** 2,  # so that every scale is above the floor
            max_iter=300,
            n_init=STARTS,
            random_state=seed % 2**32,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # where it got is a density too
            em.fit(z.double().cpu().numpy())
        weights, means, variances = (
            torch.as_tensor(v) for v in (em.weights_, em.means_, em.covariances_)
        )
        self.logits.copy_(weights.clamp(min=1e-12).log())
        self.loc.copy_(means)
        self.log_scale.copy_((variances.sqrt() - FLOOR).log())


def mixture(
    latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec, components: int = 20
) -> NormalMixture:
    """Returns a learned mixture of normals.

    Arguments:
        latent: The number D of latent elements.
        condition: Unused: the same prior holds for every condition.
        posterior: Unused.
        spec: Unused.
        components: The number of normals that are mixed.
    """
    return NormalMixture(latent, components)
