r"""The evidence lower bound and its two parts, rate and distortion.

.. math::
    \log p(x) \ge \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{-\text{distortion}}
    - \underbrace{\mathrm{KL}(q(z \mid x) \,\|\, p(z))}_{\text{rate}}

Shapes: K posterior samples, B batch, N data, D elements of one latent group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..distributions import kl_divergence
from ..errors import DiaboloError
from ..model import Draw, LatentModel
from ..noise import KeyedNoise
from .estimate import Estimate, Moments
from .passes import (
    Precision,
    autocast,
    averages,
    batches,
    check_data,
    decoder_rows,
    networks,
    quiet,
    subject,
)

__all__ = ["Bound", "bound", "distortion", "element_rates"]


@dataclass(frozen=True, eq=False)
class Bound:
    """The evidence lower bound and its parts: elbo = -distortion - sum(rate).

    Arguments:
        elbo: The bound.
        rate: The rate of each latent group.
        distortion: -log p(x|z), expected under the posterior.
        rate_elements: The mean rate of each element of each group, (D,) float64; None where it
            does not split into elements.
    """

    elbo: Estimate
    rate: tuple[Estimate, ...]
    distortion: Estimate
    rate_elements: tuple[Tensor | None, ...]

    @cached_property
    def total_rate(self) -> Estimate:
        """The rate of all groups together: that of z as a whole.

        Groups are sampled together: the sum of their errors bounds that of their sum.
        """
        if len(self.rate) == 1:
            return self.rate[0]
        errors = [r.per_datum_stderr for r in self.rate]
        known = [e for e in errors if e is not None]
        variance = torch.stack(known).sum(0).square() if len(known) == len(errors) else None
        first, kind = self.rate[0], "rate KL(q(z|x) || p(z)) of all groups"
        value = torch.stack([r.per_datum for r in self.rate]).sum(0)
        return Estimate.of(value, variance, k=first.k, seed=first.seed, kind=kind)


def bound(
    model: LatentModel,
    data: Data,
    *,
    seed: int = 0,
    batch: int | None = None,
    samples: int = 8,
    precision: Precision = "float32",
) -> Bound:
    """Returns the evidence lower bound of data, apart in rate and distortion.

    A charge that is no log-density (commitment, say) has no part in it.

    Arguments:
        model: A model with a posterior density.
        data: The data; each datum is one fixed x in all samples.
        seed: Keys the samples by row, so that batches and order do not matter.
        batch: Data encoded at once; None picks a number. It changes results by rounding only.
        samples: Posterior samples K for each datum; the Monte Carlo error is that of their mean,
            estimated from their variance, and unknown (None) for a single sample. Of a discrete z
            that can be enumerated all values are taken, and the error is 0.
        precision: The type in which networks compute; `float32` leaves that of the weights.

    Raises:
        DiaboloError: If the model is deterministic, or does not fit the data.
    """
    if model.deterministic:
        raise DiaboloError(
            "A deterministic autoencoder has no bound on log p(x): its codes have no density. "
            "Its distortion is a number (`distortion`), and a 'vae' has both."
        )
    _check(samples)
    check_data(model, data)
    device = next(model.parameters()).device
    value, distorted = Moments(), Moments()
    rates = [Moments() for _ in model.groups]
    split: list[list[Tensor] | None] = [[] for _ in model.groups]
    closed = [True] * len(model.groups)
    with quiet(model), autocast(precision, device):
        size = batch or max(1, decoder_rows(data, device) // (samples * (model.enumerates or 1)))
        for b in batches(model, data, size):
            noise = KeyedNoise(seed, b.index)
            inferred, c = model.infer(b.x, b.c, k=samples, mask=b.mask, noise=noise, every=True)
            px = model.likelihood(inferred.code, c)
            with autocast("float32", device):
                log_px = px.log_prob(b.x, b.mask)
                rate = [d.rate for d in inferred.draws]
                elements = [
                    None if e is None else averages(model, e, inferred.log_share)
                    for e in (d.rate_elements for d in inferred.draws)
                ]
            parts = -log_px, log_px - torch.stack(rate).sum(0), *rate
            for moments, part in zip((distorted, value, *rates), parts, strict=True):
                moments.add(averages(model, part, inferred.log_share), exact=model.exact)
            for g, draw in enumerate(inferred.draws):
                closed[g] = closed[g] and _is_closed(draw)
                split[g] = _collect(split[g], elements[g])
    facts = {"k": 1 if model.exact else samples, "seed": seed, "n": len(data)}
    steps = math.ceil(len(data) / size)
    kind = f"lower bound on {subject(model, data)} (ELBO){networks(precision)}"
    how = ["closed form" if yes or model.exact else "by samples" for yes in closed]
    drawn = f"over all {model.enumerates} values of z" if model.exact else "z ~ q(z|x)"
    return Bound(
        elbo=value.estimate(kind=kind, **facts),
        rate=tuple(
            r.estimate(kind=f"rate KL(q(z|x) || p(z)), {h}", **facts)
            for r, h in zip(rates, how, strict=True)
        ),
        distortion=distorted.estimate(kind=f"distortion -log p(x|z), {drawn}", **facts),
        rate_elements=tuple(
            None if s is None else ranks.gather(torch.stack(s), steps).sum(0) / len(data)
            for s in split
        ),
    )


def distortion(
    model: LatentModel,
    data: Data,
    *,
    seed: int = 0,
    batch: int | None = None,
    samples: int = 8,
    precision: Precision = "float32",
) -> Estimate:
    """Returns -log p(x|z), which a deterministic model has too: there z is the code of x.

    Arguments and errors are those of `bound`; a deterministic model needs but one sample.
    """
    if not model.deterministic:
        facts = {"seed": seed, "batch": batch, "samples": samples, "precision": precision}
        return bound(model, data, **facts).distortion
    check_data(model, data)
    device = next(model.parameters()).device
    found = []
    with quiet(model), autocast(precision, device):
        for b in batches(model, data, batch or decoder_rows(data, device)):
            noise = KeyedNoise(seed, b.index)
            inferred, c = model.infer(b.x, b.c, mask=b.mask, noise=noise)
            px = model.likelihood(inferred.code, c)
            with autocast("float32", device):
                found.append(-px.log_prob(b.x, b.mask)[0].double().cpu())
    kind = "distortion -log p(x|z), z the code of x"
    value = ranks.gather(torch.cat(found), len(data))
    return Estimate.of(value, torch.zeros_like(value), k=1, seed=seed, kind=kind)


def element_rates(model: LatentModel, parts: Bound | None) -> Tensor:
    """Returns the mean rate of each latent element in nats, (D,) float64, NaN where not known.

    It is known of no element of a group whose rate does not split.

    Arguments:
        model: The model, which says how many elements its groups have.
        parts: Its bound; None for a deterministic model, which has no rates.
    """
    split = [None] * len(model.groups) if parts is None else parts.rate_elements
    found = [
        torch.full((size,), torch.nan, dtype=torch.float64) if e is None else e.double().cpu()
        for size, e in zip(model.groups, split, strict=True)
    ]
    return torch.cat(found)


def _check(samples: int) -> None:
    if samples < 1:
        raise DiaboloError(f"samples is the number of draws for each datum, 1 or more: {samples}.")


def _is_closed(draw: Draw) -> bool:
    """Whether the rate of a draw comes out of a formula and not of its samples."""
    if draw.q is None or draw.p is None:
        return False
    return kl_divergence(draw.q, draw.p) is not None


def _collect(seen: list[Tensor] | None, elements: Tensor | None) -> list[Tensor] | None:
    """Adds the sum over a batch of the rates (K, B, *D) of elements."""
    if seen is None or elements is None:
        return None
    return [*seen, elements.double().mean(0).sum(0).flatten().cpu()]
