r"""Whether a model's probabilities mean what they say: ranks that ought to be uniform.

For z* of the prior and x of p(x | z*), z* is one more draw of p(z | x): among L draws of q its rank
has L + 1 values, all equally likely, if q is the posterior. In the same way the rank of x_j among L
draws of the model is uniform if the model is that of the data. A uniform number spreads each rank,
and ties, evenly over its share of the unit interval.

.. math:: u = \frac{\#\{l : y_l < y\} + v \, (1 + \#\{l : y_l = y\})}{L + 1}, \qquad
    v \sim \mathrm{Uniform}(0, 1)

Numbers that gather at both ends tell of a density that is too narrow, in the middle of one that is
too wide, and at one end of one that lies to the other side.

Shapes: L draws, B batch, N data, D elements, E event shape of x, M bins.

References:
    | Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts, Betancourt,
    | Simpson, Vehtari & Gelman, 2018), https://arxiv.org/abs/1804.06788
    | Predictive Model Assessment for Count Data (Czado, Gneiting & Held, 2009), the randomised
    | PIT, https://doi.org/10.1111/j.1541-0420.2009.01191.x
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..errors import DiaboloError, whole
from ..model import LatentModel
from ..noise import KeyedNoise, mix_seed
from .continuous import check_continuous, densities, has_density, simulated
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

__all__ = ["Calibration", "pit", "posterior_ranks"]

LEAST = 20  # data that tell anything of a histogram
EACH = 10  # data that a bin expects, at least
BINS = 20
LEVEL = 0.01  # of all elements together, below which a departure is told
SURE = 3.0  # standard errors of position or spread, below which they do not tell what it is
SPREAD, RANK, WORLD = 7, 8, 9  # what a seed is mixed with: each stream has noise of its own


@dataclass(frozen=True, eq=False)
class Calibration:
    """How uniform the ranks of some elements are.

    Arguments:
        of: What is calibrated or not: `q(z|x)`.
        values: The numbers u of each datum and element, (N, D), float64; NaN where unseen.
        counts: Their histograms over equal bins of [0, 1], (D, M).
        p: The probability that calibrated elements have of so uneven a histogram, (D,), by the
            chi-squared test; NaN where too little was seen.
        draws: The number L.
        how: How the ranks were found.
        notes: Sentences on what was found.
    """

    of: str
    values: Tensor = field(repr=False)
    counts: Tensor = field(repr=False)
    p: Tensor = field(repr=False)
    draws: int
    how: str
    notes: tuple[str, ...] = ()

    @classmethod
    def found(cls, of: str, values: Tensor, *, draws: int, how: str) -> Calibration:
        """Returns what numbers (N, D) tell that ought to be uniform.

        Raises:
            DiaboloError: If there are too few.
        """
        if len(values) < LEAST:
            raise DiaboloError(f"Calibration needs at least {LEAST} data, but got {len(values)}.")
        bins = min(BINS, len(values) // EACH)
        seen = ~values.isnan()
        place = (values * bins).nan_to_num(0.0).long().clamp(max=bins - 1)
        counts = torch.zeros(values.shape[1], bins, dtype=torch.int64)
        counts.scatter_add_(1, place.T, seen.T.long())
        expected = counts.sum(1, keepdim=True) / bins
        square = ((counts - expected) ** 2 / expected).sum(1).double()
        tail = torch.special.gammaincc(torch.tensor((bins - 1) / 2).double(), square / 2)
        p = torch.where(expected[:, 0] >= EACH / 2, tail, torch.nan)
        made = cls(of, values, counts, p, draws, how)
        return cls(of, values, counts, p, draws, how, (made._told(),))

    @property
    def p_all(self) -> float:
        """The probability of so uneven a histogram in the worst of all elements (Bonferroni).

        It is an upper bound, however the elements depend on each other; NaN if none is known.
        """
        known = self.p[~self.p.isnan()]
        return min(1.0, float(known.min()) * len(known)) if len(known) else math.nan

    @property
    def position(self) -> Tensor:
        """The mean of u for each element, (D,): 1/2, more where the density lies too low."""
        return self.values.nanmean(0)

    @property
    def spread(self) -> Tensor:
        """The mean of 12 (u - 1/2)^2 for each element, (D,): 1, more where it is too narrow."""
        return (12 * (self.values - 0.5) ** 2).nanmean(0)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What is said of each element.

        It is `calibrated`, `too narrow`, `too wide`, `too low`, `too high`, or `of another shape`
        where neither position nor spread of the ranks tells what is wrong; `unknown` where too
        little was seen.
        """
        known = ~self.p.isnan()
        departs = self.p * int(known.sum()) < LEVEL
        n = (~self.values.isnan()).sum(0)
        shift = (self.position - 0.5) * (12 * n).sqrt()  # both in standard errors
        excess = (self.spread - 1) * (n / 0.8).sqrt()
        words = []
        for j in range(len(self.p)):
            aside, wide = float(shift[j]), float(excess[j])
            if not bool(known[j]):
                words.append("unknown")
            elif not bool(departs[j]):
                words.append("calibrated")
            elif max(abs(wide), abs(aside)) < SURE:
                words.append("of another shape")
            elif abs(wide) >= abs(aside):
                words.append("too narrow" if wide > 0 else "too wide")
            else:
                words.append("too low" if aside > 0 else "too high")
        return tuple(words)

    def rows(self) -> list[Quantity]:
        """Returns the lines of a table: the test, how many elements fail it, where ranks lie."""
        words = self.verdicts
        known = len(words) - words.count("unknown")
        wrong = known - words.count("calibrated")
        position = _over_elements(self.values)
        spread = _over_elements(12 * (self.values - 0.5) ** 2)
        # A p-value is told as it is, for small ones are not 0.
        return [
            Quantity(
                f"p-value of {self.of}", self.p_all, "", None, None, f"chi-squared, {self.how}"
            ),
            Quantity(
                f"miscalibrated elements of {self.of}",
                wrong,
                "",
                None,
                None,
                f"of {known}: p < {LEVEL:g} for all of them together",
            ),
            Quantity(
                f"rank position of {self.of}",
                position.value,
                "",
                None,
                position.data_stderr,
                "mean of u: 0.5 if calibrated, more if it lies too low",
            ),
            Quantity(
                f"rank spread of {self.of}",
                spread.value,
                "",
                None,
                spread.data_stderr,
                "mean of 12 (u - 0.5)^2: 1 if calibrated, more if it is too narrow",
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns all but the numbers u as numbers, strings, lists and dictionaries."""
        return {
            "of": self.of,
            "n": len(self.values),
            "draws": self.draws,
            "how": self.how,
            "p": [finite(p) for p in self.p.tolist()],
            "p_all": finite(self.p_all),
            "position": [finite(v) for v in self.position.tolist()],
            "spread": [finite(v) for v in self.spread.tolist()],
            "counts": self.counts.tolist(),
            "verdicts": list(self.verdicts),
            "notes": list(self.notes),
        }

    def _told(self) -> str:
        """The verdict in a sentence."""
        words = self.verdicts
        known = [w for w in words if w != "unknown"]
        found = {w: known.count(w) for w in known if w != "calibrated"}
        if not known:
            return f"Too little was seen to tell whether {self.of} is calibrated."
        if not found:
            return f"No departure of {self.of} from calibration was found ({p_value(self.p_all)})."
        told = " and ".join(f"{w} in {n}" for w, n in sorted(found.items(), key=lambda f: -f[1]))
        return f"{self.of} is {told} of {len(known)} elements ({p_value(self.p_all)})."


def posterior_ranks(
    model: LatentModel,
    n: int = 1000,
    c: Tensor | None = None,
    *,
    draws: int = 99,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Calibration:
    """Returns how q(z | x) is calibrated, by simulation: no data are needed.

    For n draws (z*, x) of the model each element of z* is ranked among draws of q(z | x). The
    ranks are uniform if q is the posterior. They may be so for a q that is not, q = p(z) for one:
    what is wrong is shown, what is right is not proved.

    Arguments:
        model: A model whose latent is one continuous vector with a prior density.
        n: How many data to draw from it, 20 at least.
        c: Their conditions (n, C), where the model has one.
        draws: Draws L of q for each datum.
        seed: Keys the noise by row.
        batch: Data encoded at once; None picks a number. It changes results by rounding only.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the model is deterministic, discrete or a hierarchy, if x is scored given
            a part of itself, or if the condition is lacking.
    """
    what = "Simulation-based calibration"
    check_continuous(model, what, instead="")
    n, draws, seed = whole("n", n, least=LEAST), whole("draws", draws, least=1), whole("seed", seed)
    if taken := model.likelihood.family.given:
        raise DiaboloError(
            f"This likelihood scores x given its {taken}, but draws x without it: then the z that "
            "x was made from is no draw of p(z|x), and has no calibrated rank."
        )
    device = next(model.parameters()).device
    found = []
    with quiet(model), autocast(precision, device):
        data, truth = simulated(model, n, c, mix_seed(seed, WORLD), what, instead="")
        size = decoder_rows(data, device) if batch is None else whole("batch", batch, least=1)
        for b in batches(model, data, size, progress):
            q = densities(model, b, what, instead="").q
            z = q.sample((draws,), KeyedNoise(mix_seed(seed, RANK), b.index))
            value = truth[b.index].to(z)
            counts = (z < value).sum(0), (z == value).sum(0)
            found.append(_spread(*counts, draws, b.index, seed))
    how = f"{n} simulated data, ranks among {draws} draws of q{networks(precision)}"
    values = ranks.gather(torch.cat(found), n)
    return Calibration.found("q(z|x)", values, draws=draws, how=how)


def pit(
    model: LatentModel,
    data: Data,
    *,
    draws: int = 99,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Calibration:
    """Returns how the model's density of each element of x is calibrated on data.

    The probability integral transform of x_j under the model's marginal p(x_j | c), randomised
    where x_j has levels. That marginal has no formula: x_j is ranked among draws of the model,
    z ~ p(z | c) and x ~ p(x | z, c), fresh ones for each datum, so that ranks are exactly uniform
    if the model is true, whatever L. Draws with z ~ q(z | x) would not do: they have seen x, and
    gather around it under the true model too. Where x is scored given its total, so it is drawn.

    It is of each element by itself: how they depend on each other is not asked.

    Arguments:
        model: A model with a likelihood; any latent will do.
        data: The data, 20 at least, which the model has not seen.
        draws: Draws L of the model for each datum.
        seed: Keys the noise by row.
        batch: Data gone through at once; None picks a number. It changes results by rounding
            only.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the model is deterministic, or does not fit the data.
    """
    has_density(model)
    draws, seed = whole("draws", draws, least=1), whole("seed", seed)
    if len(data) < LEAST:
        raise DiaboloError(f"Calibration needs at least {LEAST} data, but got {len(data)}.")
    device = next(model.parameters()).device
    size = decoder_rows(data, device) if batch is None else whole("batch", batch, least=1)
    found = []
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, size, progress):
            less = torch.zeros(b.x.shape, dtype=torch.int64, device=device)
            same = less.clone()
            for i in range(draws):
                noise = KeyedNoise(mix_seed(seed, RANK), b.index, start=i, lead=1)
                px = model.sample(len(b.x), b.c, noise=noise)
                with autocast("float32", device):
                    x = px.given(b.x, b.mask).sample((), noise)
                less, same = less + (x < b.x), same + (x == b.x)
            u = _spread(less, same, draws, b.index, seed)
            if b.mask is not None:
                u = torch.where(b.mask.cpu(), u, torch.nan)
            found.append(u.flatten(1))
    given = " given its " + model.likelihood.family.given if model.likelihood.family.given else ""
    how = f"{len(data)} data, ranks among {draws} draws of the model{networks(precision)}"
    values = ranks.gather(torch.cat(found), len(data))
    return Calibration.found(f"p(x_j){given}", values, draws=draws, how=how)


def _spread(less: Tensor, same: Tensor, draws: int, index: Tensor, seed: int) -> Tensor:
    """Returns the numbers u, (B, *) on the CPU, float64, of counts of draws below and equal."""
    noise = KeyedNoise(mix_seed(seed, SPREAD), index, lead=1)
    v = noise.uniform(tuple(less.shape), less.double())
    return ((less + v * (1 + same)) / (draws + 1)).cpu()


def _over_elements(values: Tensor) -> Estimate:
    """The mean over elements of what each datum has, (N, D), as an estimate over data."""
    seen = values[~values.isnan().all(1)]
    return Estimate.of(seen.nanmean(1), None, k=1, seed=0, kind="rank")
