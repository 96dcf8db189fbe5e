"""The pictures that lie on a plane of the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..distributions import REALS, Normal
from ..noise import MEAN
from ._figure import NotApplicable, new, picture
from ._images import grid, size_note
from ._rows import rows as told
from ._run import (
    condition_of,
    continuous,
    decoded,
    held_out,
    measured,
    only_pictures,
    pictures,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data import Data
    from ..run import Run

__all__ = ["manifold"]


@torch.no_grad()
def manifold(run: Run, *, steps: int = 16) -> Figure:
    """The mean of p(x|z) over a grid of two latent elements.

    Where the prior is a standard normal the grid is even in its probability: the quantiles
    (i + 1/2) / steps of the inverse normal CDF (Kingma & Welling, 2014, figure 4). Where it is
    not, the quantiles are those of the codes of held-out data. With more than two elements, the
    grid is that of the two with the greatest rate, and the others stay at their middle. Discrete
    elements have no axis: they keep the value that is most frequent, or that is given.

    Arguments:
        run: A run on pictures whose data can be read.
        steps: Pictures along each side.

    Returns:
        The figure.

    Raises:
        NotApplicable: If the data are no pictures or out of reach, codes lie on a sphere, or all
            elements are discrete.
    """
    only_pictures(run, "The manifold")
    if run.model.space != REALS:
        raise NotApplicable(
            f"The manifold is a grid on a plane of codes, but this model's are {run.model.space}."
        )
    free = continuous(run, "The manifold")
    data = held_out(run)
    mean = told(run, data).codes
    found = run.latents
    size = len(free)
    rate = None if np.isnan(found.rate).any() else found.rate
    moved = [i for i in found.order if i in free]
    a, b = moved[:2] if size > 1 else (moved[0], moved[0])
    levels = (np.arange(steps) + 0.5) / steps
    standard = _standard(run, data)
    if standard:
        from scipy.stats import norm

        across = up = norm.ppf(levels)
        middle = np.zeros(mean.shape[1], dtype=np.float32)
        where = "quantiles of the standard normal prior"
    else:
        across, up = (np.quantile(mean[:, i], levels) for i in (a, b))
        middle = np.median(mean, axis=0).astype(np.float32)
        where = "quantiles of the codes of held-out data"
    named = np.array(run.model.levels) > 0
    middle[named] = found.mean[named]
    rows = 1 if size == 1 else steps
    z = np.tile(middle, (rows * steps, 1))
    z[:, a] = np.tile(across, rows)
    if size > 1:
        z[:, b] = np.repeat(up[::-1], steps)
    c, given = condition_of(run, data)
    x = pictures(run, run.schema.array(decoded(run, torch.from_numpy(z), c)))

    axes_ = f"$z_{{{a}}}$" + (f" and $z_{{{b}}}$" if size > 1 else "")
    caption = f"The mean of p(x|z) over {axes_}, at {where}{given}."
    if size > 2:
        why = "vary most" if rate is None else "have the greatest rate"
        rest = "0" if standard else "their median"
        nats = "" if rate is None else f" ({rate[a]:.2f} and {rate[b]:.2f} nats)"
        title = f"Manifold: 2 of {size} latent elements, the others at {rest}"
        caption += f" These two {why}{nats}; the others are held at {rest}."
    else:
        title = "Manifold"
    caption += size_note(x)
    height = 6.5 * rows / steps * x.shape[1] / x.shape[2] + 1.3
    figure = new(7.2, height, title, caption)
    ax = figure.subplots()
    page = grid(x, steps, pad=1, least=32)
    picture(ax, page)
    cell = page.shape[1] / steps
    ticks = [0, steps // 2, steps - 1]
    ax.set_xticks(
        [(i + 0.5) * cell for i in ticks], [f"{across[i]:.1f}" for i in ticks], fontsize=8
    )
    ax.set_xlabel(f"$z_{{{a}}}$", fontsize=9.5)
    if rows > 1:
        cell = page.shape[0] / steps
        ticks_up = [(steps - 1 - i + 0.5) * cell for i in ticks]
        ax.set_yticks(ticks_up, [f"{up[i]:.1f}" for i in ticks], fontsize=8)
        ax.set_ylabel(f"$z_{{{b}}}$", fontsize=9.5)
    ax.tick_params(length=0)
    return figure


def _standard(run: Run, data: Data) -> bool:
    """Whether the prior is the standard normal, as its density says."""
    x, c, mask = shown(run, measured(run, data), 2)
    device = next(run.model.parameters()).device
    x, c, mask = (None if t is None else t.to(device) for t in (x, c, mask))
    levels = torch.tensor(run.model.levels).split(list(run.model.groups))
    draws = run.model(x, c, mask=mask, noise=MEAN).draws
    for d, names in zip(draws, levels, strict=True):
        p = d.p
        if names.any():
            continue
        if not isinstance(p, Normal) or bool((p.mean != 0).any() | (p.variance != 1).any()):
            return False
    return not run.model.deterministic
