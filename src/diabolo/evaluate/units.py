r"""Which elements of the latent say anything of x.

.. math:: A_j = \mathrm{Var}_x\big(\mathbb{E}_{q(z \mid x)}[z_j]\big) > 0.01

Shapes: N data, D elements of one latent group.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.2
    | https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..errors import DiaboloError
from ..model import LatentModel
from .estimate import finite
from .passes import Precision, autocast, batches, decoder_rows, quiet

__all__ = ["ActiveUnits", "active_units"]


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """How many latent elements move with x.

    Arguments:
        count: The active elements of all groups.
        groups: Those of each group.
        variance: Var_x(E_q[z]) of each element, by group (D,), float64.
        threshold: From which variance on an element is active.
        n: The number of data.
    """

    count: int
    groups: tuple[int, ...]
    variance: tuple[Tensor, ...]
    threshold: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Returns the counts and variances as numbers and lists."""
        return {
            "count": self.count,
            "of": sum(len(v) for v in self.variance),
            "groups": list(self.groups),
            "variance": [[finite(e) for e in v.tolist()] for v in self.variance],
            "threshold": self.threshold,
            "n": self.n,
        }


def active_units(
    model: LatentModel,
    data: Data,
    *,
    threshold: float = 0.01,
    precision: Precision = "float32",
) -> ActiveUnits:
    """Returns the active elements of the latent.

    The mean is that of `LatentModel.encode`: for a flow posterior its centre, in a hierarchy at
    the means of the groups before. The threshold has a meaning for codes of unit scale; with a
    learned prior or a deterministic code look at the variances.

    Raises:
        DiaboloError: If there are fewer than two data, or they do not fit the model.
    """
    if len(data) < 2:
        raise DiaboloError(f"Active units need at least two data, but got {len(data)}.")
    device = next(model.parameters()).device
    with quiet(model), autocast(precision, device):
        found = [
            model.encode(b.x, b.c, mask=b.mask)[0].double().cpu()
            for b in batches(model, data, decoder_rows(data, device))
        ]
    variance = ranks.gather(torch.cat(found), len(data)).var(0).split(list(model.groups))
    groups = tuple(int((v > threshold).sum()) for v in variance)
    return ActiveUnits(sum(groups), groups, tuple(variance), threshold, len(data))
