"""The codes of all data together beside the prior: whether samples come from where codes are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..distributions import draw
from ..noise import KeyedNoise, mix_seed
from ._figure import BLUE, ORANGE, NotApplicable, new, tidy
from ._rows import Rows, plane, rows
from ._run import which

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..run import Run

__all__ = ["aggregate"]

MOST = 2000  # draws of each
SHOWN = 8  # elements that have axes
PRIOR = 0x7072696F72  # apart from the noise of the posterior


def aggregate(
    run: Run, *, seed: int = 0, split: str | None = None, of: Rows | None = None
) -> Figure:
    """Draws of the aggregate posterior, the mean of q(z|x) over data, and of the prior.

    Arguments:
        run: A run with a prior whose data can be read.
        seed: Keys the draws.
        split: `train`, `valid` or `test`; None takes the test set, else the validation set.
        of: Rows that are measured already, in place of a split.

    Returns:
        The figure: a density for each of the elements of greatest rate, and the plane of codes.

    Raises:
        NotApplicable: If the model has no prior, its first latent group is discrete, or there are
            fewer than three data.
    """
    if not run.model.generates:
        raise NotApplicable("There is no prior beside which the codes of this model could be put.")
    found = rows(run, split=split, of=of)
    if len(found) < 3:
        raise NotApplicable("The aggregate posterior is of many data, but there are fewer than 3.")
    z, p, group = _draws(run, found, seed)
    elements = list(range(group.start, group.stop))
    rate = np.nan_to_num(found.per_latent_rate[group], nan=-np.inf)
    order = np.argsort(-rate, kind="stable")[:SHOWN].tolist()
    several = len(run.model.groups) > 1
    told = f" Of the latents, group z{elements[0]} to z{elements[-1]} is shown." if several else ""
    few = f" The {SHOWN} elements of greatest rate." if len(elements) > SHOWN else ""
    caption = (
        f"Codes of {len(z)} data {which(run)}, one draw of q(z|x) each, beside {len(p)} draws of "
        "the prior. Where the prior has no codes under it samples come from nowhere; where codes "
        f"reach beyond it, the model never draws what such data look like.{few}{told}"
    )
    flat = len(elements) > 1 and not several
    wide = 4
    high = -(-len(order) // wide)
    figure = new(9.0, 1.5 * high + (4.2 if flat else 0.3) + 0.8, "Codes and prior", caption)
    upper, lower = figure, None
    if flat:
        parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.5 * high, 4.0))
        upper, lower = parts[:, 0]
    axes = upper.subplots(high, wide, squeeze=False).flatten().tolist()
    for ax in axes[len(order) :]:
        ax.set_visible(False)
    for ax, j in zip(axes, order, strict=False):
        both = np.concatenate([z[:, j], p[:, j]])
        low, high_ = np.quantile(both, [0.002, 0.998])
        edges = np.linspace(low, max(high_, low + 1e-6), 31).tolist()
        ax.hist(z[:, j], edges, density=True, color=BLUE, alpha=0.45, label="codes q(z)")
        ax.hist(p[:, j], edges, density=True, histtype="step", color=ORANGE, label="prior p(z)")
        tidy(ax, f"$z_{{{elements[j]}}}$", "")
        ax.set_yticks([])
    axes[0].legend(fontsize=7, frameon=False)
    if lower is not None:
        at = plane(found)
        ax = lower.subplots()
        for x, colour, label in ((p, ORANGE, "prior p(z)"), (z, BLUE, "codes q(z)")):
            points = (x - at.mean) @ at.axes.T
            size = float(np.clip(4000 / len(x), 5, 20))
            style = {"s": size, "alpha": 0.45, "linewidths": 0, "rasterized": len(x) > 500}
            ax.scatter(*points.T, color=colour, label=label, **style)
        tidy(ax, *at.names)
        ax.set_aspect("equal", adjustable="box")
        ax.legend(
            fontsize=8, frameon=False, markerscale=2, loc="upper left", bbox_to_anchor=(1.01, 1.0)
        )
    return figure


@torch.inference_mode()
def _draws(run: Run, found: Rows, seed: int) -> tuple[np.ndarray, np.ndarray, slice]:
    """Returns draws of q(z) and p(z) of a continuous group, (n, d), and which elements it has.

    Raises:
        NotApplicable: If there is no such group, or its prior cannot be drawn from alone.
    """
    model, data = run.model, found.data
    few = data.take(torch.arange(min(len(data), MOST)))
    like = next(model.parameters())
    ends = np.cumsum([0, *model.groups]).tolist()
    kinds = [any(model.levels[a:b]) for a, b in pairwise(ends)]
    if all(kinds):
        raise NotApplicable(
            "Codes and prior are shown as densities, but this model's codes are all discrete."
        )
    g = kinds.index(False)
    codes: list[Tensor] = []
    priors: list[Tensor] = []
    for b in few.batches(500):
        x, c = b.x.to(like), None if b.c is None else model.given(b.c.to(like))
        mask = None if b.mask is None else b.mask.to(like.device)
        draws = model.infer(x, c, mask=mask, noise=KeyedNoise(seed, b.index))[0].draws
        # Given the groups before it, the first group with a prior of its own.
        own = [i for i, d in enumerate(draws) if d.p is not None and not kinds[i]]
        g = own[0] if own else g
        p = draws[g].p
        noise = KeyedNoise(mix_seed(seed, PRIOR), b.index, lead=1)
        if p is not None:
            z = draw(p, len(x), noise).reshape(-1, model.groups[g])
        elif len(model.groups) == 1:
            z = model.latent.sample(len(x), c, noise)
        else:
            raise NotApplicable("The prior of this model's latent cannot be drawn from alone.")
        codes.append(draws[g].z[0].flatten(1).cpu())
        priors.append(z.cpu())
    return torch.cat(codes).numpy(), torch.cat(priors).numpy(), slice(ends[g], ends[g + 1])
