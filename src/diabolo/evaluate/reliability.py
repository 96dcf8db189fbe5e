r"""Whether bits that a model gives the probability p are ones as often as that.

Bits are put in bins by their predicted probability; the expected calibration error is how far the
part of ones is from the mean prediction, on average over bits:

.. math:: \mathrm{ECE} = \frac1m \sum_b \Big| \sum_{i \in b} (x_i - p_i) \Big|

A perfectly calibrated prediction has an error above 0 too, by chance; how much is told beside it.
Bits of one datum may depend on each other, so that errors are those of whole data.

Shapes: K samples, B batch, N data, E event shape of x, M bins.

References:
    | On Calibration of Modern Neural Networks (Guo et al., 2017), section 2
    | https://arxiv.org/abs/1706.04599
    | MIWAE (Mattei & Frellsen, 2019), section 3, of predictions by importance weights
    | https://arxiv.org/abs/1812.02633
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..distributions import Bernoulli
from ..errors import DiaboloError, whole
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed
from .continuous import has_density
from .estimate import Estimate, finite, p_value
from .passes import (
    Precision,
    Progress,
    autocast,
    batches,
    decoder_rows,
    networks,
    quiet,
)
from .quantity import Quantity

__all__ = ["Reliability", "reliability"]

HIDE = 10  # what a seed is mixed with: which bits are hidden has noise of its own
FEW = 10.0  # effective samples below which a prediction by weights is told to be too sure
LEAST = 2  # data
ROOT = math.sqrt(2 / math.pi)  # mean size of a standard normal number


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted probabilities of bits beside the frequency of ones.

    Arguments:
        ece: The expected calibration error, over bits.
        chance: What it would be on average for a calibrated prediction of as many bits.
        p: The probability that a calibrated prediction has of so great a deviation in the worst
            bin: an upper bound (Bonferroni), by the normal approximation; NaN if no bin tells.
        predicted: The mean predicted probability in each bin, (M,), NaN where it is empty.
        observed: The frequency of ones in each bin, (M,), likewise.
        stderr: The standard error of observed - predicted if they are calibrated, (M,), likewise.
        count: The number of bits in each bin, (M,).
        how: Which prediction it is.
        notes: Sentences on what was found and what to be careful with.
    """

    ece: Estimate
    chance: float
    p: float
    predicted: Tensor = field(repr=False)
    observed: Tensor = field(repr=False)
    stderr: Tensor = field(repr=False)
    count: Tensor = field(repr=False)
    how: str
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Quantity]:
        """Returns the lines of a table."""
        return [
            Quantity("calibration error of bits", self.ece.value, "", None, self.ece.data_stderr,
                     f"ECE over {len(self.count)} bins, {self.how}; by chance {self.chance:.2g}"),
            Quantity("p-value of the reliability of bits", self.p, "", None, None,
                     "the worst bin, all bins together"),
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        lists = {
            name: [finite(v) for v in getattr(self, name).tolist()]
            for name in ("predicted", "observed", "stderr")
        }
        return {
            "ece": self.ece.to_json(),
            "chance": finite(self.chance),
            "p": finite(self.p),
            **lists,
            "count": [int(n) for n in self.count.tolist()],
            "how": self.how,
            "notes": list(self.notes),
        }

    @classmethod
    def of(
        cls,
        probability: Tensor,
        x: Tensor,
        seen: Tensor | None = None,
        *,
        bins: int = 20,
        how: str = "predictions as given",
    ) -> Reliability:
        """Returns how reliable given predictions are.

        Arguments:
            probability: The predicted probabilities of ones, (N, *).
            x: The bits, (N, *).
            seen: Which of them count, (N, *); None if all do.
            bins: The number M of equal bins of [0, 1].
            how: Which prediction it is.

        Raises:
            DiaboloError: If there are fewer than two data, or no bits.
        """
        return cls._binned(_sums(probability, x, seen, whole("bins", bins, least=1)), how, 1, 0)

    @classmethod
    def _binned(
        cls, sums: Tensor, how: str, k: int, seed: int, notes: tuple[str, ...] = ()
    ) -> Reliability:
        """The reliability of sums (N, 4, M); see `_sums`."""
        if len(sums) < LEAST:
            raise DiaboloError(f"Reliability needs at least two data, but got {len(sums)}.")
        count, expected, ones, variance = sums.sum(0)
        total = count.sum()
        if not float(total):
            raise DiaboloError("Reliability is of bits that are predicted, but there are none.")
        rest = sums[:, 2] - sums[:, 1]  # (N, M)
        gap = rest.sum(0)
        # Of whole data, whose bits depend on each other; of the bits by themselves it is too small,
        # but known where all bits of a bin turn out the same.
        error = torch.maximum((rest**2).sum(0), variance).sqrt()
        size = (gap / error)[error > 0].abs()
        tail = torch.special.erfc(size / math.sqrt(2)) * len(size)
        p = min(1.0, float(tail.min())) if len(size) else math.nan
        part = (gap.sign() * rest).sum(1) * (len(sums) / total)
        chance = float(error.sum() * ROOT / total)
        ece = Estimate.of(part, None, k=k, seed=seed, kind=f"expected calibration error, {how}")
        found = (
            f"Predicted probabilities of bits are off by {ece.value:.2g} on average, where chance "
            f"alone makes {chance:.2g} ({p_value(p)})."
        )
        return cls(
            ece=ece,
            chance=chance,
            p=p,
            predicted=expected / count,
            observed=ones / count,
            stderr=error / count,
            count=count,
            how=how,
            notes=(found, *notes),
        )


def reliability(
    model: LatentModel,
    data: Data,
    *,
    hidden: float = 0.0,
    k: int = 100,
    bins: int = 20,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Reliability:
    """Returns how reliable a model's probabilities of bits are.

    With `hidden=0` a bit is predicted by p(x_j | z) at one draw z of q(z | x), which has seen it.
    That is calibrated all the same if the model is true and q its posterior, as (x, z) is then a
    draw of the joint; it tells how decoder, q and data fit together, not how well unseen bits are
    predicted. An average over several z would not be calibrated.

    With `hidden` above 0 that part of the bits of each datum, drawn by row, is hidden from the
    encoder and predicted from the rest, as the model would have it: p(x_j | rest) by k draws of
    q(z | rest), weighted by importance. So it is honest even where the encoder never met data with
    entries unseen; the effective sample size tells what the weights are worth.

    Arguments:
        model: A model of bits (Bernoulli) with a posterior density; any latent will do.
        data: Bits that the model has not seen.
        hidden: The part of the bits that is hidden and predicted, from 0 to below 1.
        k: Draws of z for a prediction of hidden bits.
        bins: The number of equal bins of [0, 1].
        seed: Keys the noise by row.
        batch: Data gone through at once; None picks a number. It changes results by rounding only.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the model is deterministic or of other data than bits, or does not fit the
            data or the arguments.
    """
    has_density(model)
    if not 0 <= hidden < 1:
        raise DiaboloError(f"hidden is a part of the bits, from 0 to below 1, not {hidden}.")
    k, bins, seed = whole("k", k, least=1), whole("bins", bins, least=1), whole("seed", seed)
    if len(data) < LEAST:
        raise DiaboloError(f"Reliability needs at least two data, but got {len(data)}.")
    device = next(model.parameters()).device
    k = k if hidden else 1
    size = max(1, decoder_rows(data, device) // (k * (model.enumerates or 1) if hidden else 1))
    size = size if batch is None else whole("batch", batch, least=1)
    found: list[Tensor] = []
    worth: list[Tensor] = []
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, size, progress):
            seen = torch.ones_like(b.x, dtype=torch.bool) if b.mask is None else b.mask
            shown, wanted = b.mask, seen
            if hidden:
                noise = KeyedNoise(mix_seed(seed, HIDE), b.index, lead=1)
                hide = noise.uniform(tuple(b.x.shape), b.x.double()) < hidden
                shown, wanted = seen & ~hide, seen & hide
            noise = KeyedNoise(seed, b.index)
            t = model(b.x, b.c, k=k, mask=shown, noise=noise, every=bool(hidden))
            if not isinstance(t.px, Bernoulli):
                raise DiaboloError(
                    "Reliability is of the probabilities of bits (Bernoulli), but this model has "
                    f"a {type(t.px).__name__} likelihood: `pit` tells of any."
                )
            share = t.importance.double() if hidden else torch.ones_like(t.log_px).double()
            mean = t.px.mean.double().expand(*share.shape, *data.event)
            probability = torch.einsum("kb,kb...->b...", share, mean)
            found.append(_sums(probability, b.x, wanted, bins).cpu())
            worth.append(1 / share.square().sum(0).cpu())
    sums = ranks.gather(torch.cat(found), len(data))
    ess = float(ranks.gather(torch.cat(worth), len(data)).mean())
    said = networks(precision)
    if not hidden:
        how = f"each bit by p(x|z), z of q(z|x), which has seen it{said}"
        return Reliability._binned(sums, how, 1, seed)
    drawn = "all values of z" if model.exact else f"k={k} weighted draws"
    how = f"{hidden:.0%} of the bits hidden and predicted from the rest, {drawn}{said}"
    notes = ()
    if not model.exact and ess < FEW:
        notes = (
            f"The {k} weighted draws of a datum are worth {ess:.1f} on average: with so few, "
            "predictions are surer than the model's own. A larger k helps.",
        )
    return Reliability._binned(sums, how, k, seed, notes)


def _sums(probability: Tensor, x: Tensor, seen: Tensor | None, bins: int) -> Tensor:
    """Returns what each datum has in each bin, (N, 4, M), float64.

    They are the number of bits, the sums of predictions, of ones, and of variances p (1 - p).
    """
    p, x = probability.double().flatten(1), x.double().flatten(1)
    seen = torch.ones_like(p, dtype=torch.bool) if seen is None else seen.flatten(1)
    place = (p * bins).long().clamp(0, bins - 1)
    out = p.new_zeros(len(p), 4, bins)
    for row, value in enumerate((torch.ones_like(p), p, x, p * (1 - p))):
        out[:, row].scatter_add_(1, place, torch.where(seen, value, 0.0))
    return out
