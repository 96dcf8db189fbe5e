r"""Which elements of the latent say anything of x.

.. math:: A_j = \mathrm{Var}_x\big(\mathbb{E}_{q(z \mid x)}[z_j]\big) > 0.01

The numbers of a discrete element are names, whose variance means nothing: it is active by what it
says of x, in nats. For a continuous one with little to say, that is near A_j / 2 over the variance
of q.

.. math:: I_j = \mathbb{E}_x\big[\mathrm{KL}\big(q(z_j \mid x) \,\|\,
    \mathbb{E}_x\, q(z_j \mid x)\big)\big] > 0.01

Shapes: N data, D elements of one latent group, L values of each where it is discrete.

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
from ..data import Batch, Data
from ..distributions import Categorical
from ..errors import DiaboloError
from ..model import LatentModel
from ..noise import MEAN
from .estimate import finite
from .passes import Precision, autocast, batches, check_data, decoder_rows, quiet

__all__ = ["ActiveUnits", "active_units"]


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """How many latent elements move with x.

    Arguments:
        count: The active elements of all groups.
        groups: Those of each group.
        variance: Var_x(E_q[z]) of each element, by group (D,), float64; NaN where it is discrete.
        information: That of x and each element in nats, likewise; NaN where it is continuous.
        threshold: From which variance or information on an element is active.
        n: The number of data.
    """

    count: int
    groups: tuple[int, ...]
    variance: tuple[Tensor, ...]
    information: tuple[Tensor, ...]
    threshold: float
    n: int

    @property
    def how(self) -> str:
        """What was counted, of how many elements."""
        named = torch.cat(self.information).isfinite()
        kinds = (("Var_x(E_q[z])", ~named, ""), ("I(x; z)", named, " nats"))
        told = [f"{name} > {self.threshold:g}{unit}" for name, at, unit in kinds if at.any()]
        return f"of {len(named)}: {' or '.join(told)}"

    def to_json(self) -> dict[str, Any]:
        """Returns the counts, variances and information as numbers and lists."""
        return {
            "count": self.count,
            "of": sum(len(v) for v in self.variance),
            "groups": list(self.groups),
            "variance": [[finite(e) for e in v.tolist()] for v in self.variance],
            "information": [[finite(e) for e in v.tolist()] for v in self.information],
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
    the means of the groups before. Of a discrete element what counts is its information with x,
    by the same threshold in nats. That of variances has a meaning for codes of unit scale; with a
    learned prior or a deterministic code look at the variances.

    Raises:
        DiaboloError: If there are fewer than two data, or they do not fit the model.
    """
    check_data(model, data)
    if len(data) < 2:
        raise DiaboloError(f"Active units need at least two data, but got {len(data)}.")
    device = next(model.parameters()).device
    with quiet(model), autocast(precision, device):
        parts = batches(model, data, decoder_rows(data, device))
        found = [_known(model, b) for b in parts]
    variance: list[Tensor] = []
    information: list[Tensor] = []
    for group, discrete in zip(zip(*found, strict=True), _discrete(model), strict=True):
        known = ranks.gather(torch.cat(group), len(data))
        value = _information(known) if discrete else known.var(0)
        other = torch.full_like(value, torch.nan)
        variance.append(other if discrete else value)
        information.append(value if discrete else other)
    pairs = zip(variance, information, strict=True)
    groups = tuple(int(((v > threshold) | (i > threshold)).sum()) for v, i in pairs)
    return ActiveUnits(
        sum(groups), groups, tuple(variance), tuple(information), threshold, len(data)
    )


def _discrete(model: LatentModel) -> list[bool]:
    """Returns whether each group of the latent is discrete."""
    levels = torch.tensor(model.levels).split(list(model.groups))
    return [bool(g.any()) for g in levels]


def _known(model: LatentModel, b: Batch) -> list[Tensor]:
    """Returns the mean of q of each group, (B, D); its probabilities, (B, L, D), if discrete."""
    draws = model.infer(b.x, b.c, mask=b.mask, noise=MEAN)[0].draws
    each = zip(draws, _discrete(model), strict=True)
    known = []
    for d, discrete in each:
        assert isinstance(d.q, Categorical) or not discrete
        value = d.q.probabilities if isinstance(d.q, Categorical) else d.z[0].flatten(1)
        known.append(value.double().cpu())
    return known


def _information(q: Tensor) -> Tensor:
    """Returns what each element says of x in nats, (D,), from probabilities (N, L, D)."""
    entropy = torch.special.entr
    return (entropy(q.mean(0)).sum(0) - entropy(q).sum(1).mean(0)).clamp(min=0.0)
