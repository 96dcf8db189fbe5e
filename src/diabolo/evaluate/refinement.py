r"""How much of the bound's gap is the encoder's doing, and how much that of q's family.

.. math::
    \log p(x) - \mathcal{L}(q_\phi) =
    \underbrace{\log p(x) - \mathcal{L}(q^*)}_{\text{approximation gap}} +
    \underbrace{\mathcal{L}(q^*) - \mathcal{L}(q_\phi)}_{\text{amortisation gap}}, \qquad
    q^* = \arg\max_{q \in \mathcal{Q}} \mathcal{L}(q)

The encoder gives all data their q by one function; a datum that is given the best q of the family
for itself (variational EM, without amortisation) tells what that costs.

Shapes: K samples, B batch, N data.

References:
    | Inference Suboptimality in Variational Autoencoders (Cremer, Li & Duvenaud, 2018), section 3
    | https://arxiv.org/abs/1801.03558
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .. import ranks
from ..data import Data
from ..distributions import Distribution
from ..errors import whole
from ..model import LatentModel
from ..noise import KeyedNoise
from .ascent import FORMS, SAMPLES, STEP, Ascent, Form, Free, ascend, check_form
from .continuous import check_continuous
from .estimate import Estimate, Kind, difference
from .graph import Decoding
from .passes import (
    Precision,
    Progress,
    Told,
    autocast,
    batches,
    counted,
    decoder_rows,
    dequantized,
    networks,
    quiet,
    subject,
)
from .quantity import Quantity, nats
from .weights import Weights

__all__ = ["Refinement", "refine"]

NAME = "Refinement"


@dataclass(frozen=True, eq=False)
class Refinement:
    """The two gaps of a bound, and the posterior of each datum that tells them apart.

    Arguments:
        amortized: The bound with the encoder's q.
        refined: The bound with the q of each datum.
        likelihood: log p(x), or what was taken for it.
        amortization_gap: What the encoder loses: refined minus amortized, on the same noise.
        approximation_gap: What the family of q loses: likelihood minus refined; at least that of
            the true log p(x) only as far as the likelihood reaches it.
        posterior: The refined q of all data, of batch shape (N,).
        improved: The part of the data whose q was changed for the better.
        form: The form of the refined q.
        steps: How many steps it took.
        notes: Sentences on what to be careful with.
    """

    amortized: Estimate
    refined: Estimate
    likelihood: Estimate
    amortization_gap: Estimate
    approximation_gap: Estimate
    posterior: Distribution = field(repr=False)
    improved: float
    form: Form
    steps: int
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Quantity]:
        """Returns the lines of a table: bounds from the lowest, then what lies between them."""
        named = {
            "ELBO, encoder's q": self.amortized,
            "ELBO, refined q": self.refined,
            "log-likelihood": self.likelihood,
            "amortisation gap": self.amortization_gap,
            "approximation gap": self.approximation_gap,
        }
        return [nats(name, e) for name, e in named.items()]

    def to_json(self) -> dict[str, Any]:
        """Returns all but the posterior as numbers, strings, lists and dictionaries."""
        return {
            "form": self.form,
            "steps": self.steps,
            "improved": self.improved,
            "amortized": self.amortized.to_json(),
            "refined": self.refined.to_json(),
            "likelihood": self.likelihood.to_json(),
            "amortization_gap": self.amortization_gap.to_json(),
            "approximation_gap": self.approximation_gap.to_json(),
            "notes": list(self.notes),
        }


def refine(
    model: LatentModel,
    data: Data,
    *,
    form: Form = "own",
    steps: int = 500,
    k: int = 1000,
    likelihood: Estimate | None = None,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Refinement:
    """Returns the amortisation and the approximation gap, by a q of its own for each datum.

    From the encoder's q(z | x) each datum climbs its own bound with the decoder frozen. The end is
    kept where it is better than the start on noise of its own; all that is returned is measured
    on other noise again, with which nothing was chosen, so that no number is biased by the choice.
    The bounds and their differences share samples: their errors are paired.

    A climb of too few steps leaves a part of the amortisation gap in the approximation gap; another
    `form` counts what it gains over the encoder's family as amortisation. The noise is keyed by
    row: order and `batch` change results by rounding only. It costs about 24 steps + 2 k passes
    of the decoder for each datum.

    Arguments:
        model: A model whose latent is one continuous vector with a prior density.
        data: The data.
        form: `own` refines the parameters that the encoder gives each datum (a flow keeps its
            weights: what it reads of x is refined); `diagonal` and `full` are normal densities
            that start at the encoder's mean and variances.
        steps: The steps of the climb.
        k: Samples for each bound and, with refined q, for the likelihood.
        likelihood: log p(x) of the same data by another method, annealed or exact; None takes
            importance sampling from the refined q, which is a lower bound.
        seed: Keys the noise.
        batch: Data that climb at once; None picks a number.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the model is deterministic, discrete or a hierarchy, or does not fit the
            data or the arguments.
    """
    check_continuous(model, NAME, instead="")
    check_form(form)
    steps, k, seed = whole("steps", steps, least=1), whole("k", k, least=2), whole("seed", seed)
    device = next(model.parameters()).device
    rows = decoder_rows(data, device)
    size = max(1, rows // SAMPLES) if batch is None else whole("batch", batch, least=1)
    found: list[Tensor] = []
    climbs: list[tuple[Free, Tensor]] = []
    with quiet(model), autocast(precision, device):
        decoding = Decoding(model, precision, compiled=False, needed=False)
        told = Told(progress, counted(data, size), STEP * steps + 2 * k)
        for b in batches(model, data, size):
            climb = ascend(
                model, b, decoding, form=form, steps=steps, seed=seed, what=NAME, tell=told
            )
            climbs.append((climb.refined, climb.better))
            found.append(_measured(climb, k, seed, max(1, rows // len(b.x)), told).cpu())
    values, better = _joined(climbs, len(data), device)
    m = ranks.gather(torch.cat(found, 1), len(data), dim=1)
    of, said = subject(model, data), networks(precision) + dequantized(data)
    facts = {"k": k, "seed": seed}

    def bound_of(q: str, at: int) -> Estimate:
        kind = Kind(of, "lower bound on {}", f"ELBO of {q}", said)
        return Estimate.of(m[at], m[at + 1], kind=kind, **facts)

    refined = bound_of(f"a q for each datum, {FORMS[form]}, {steps} steps", 2)
    own = Kind(of, "lower bound on {}", f"importance-weighted from the refined q, k={k}", said)
    taken = Estimate.of(m[8], m[9], kind=own, ess=m[10], pareto=m[11], **facts)
    apart = Estimate.of(m[6], m[7], kind=f"{of}, {own.how}, minus the refined ELBO", **facts)
    if likelihood is not None:
        apart = replace(
            difference(likelihood, refined), kind=f"{likelihood.kind} minus the refined ELBO"
        )
    return Refinement(
        amortized=bound_of("the encoder's q", 0),
        refined=refined,
        likelihood=taken if likelihood is None else likelihood,
        amortization_gap=Estimate.of(
            m[4], m[5], kind="refined minus amortised ELBO, on the same samples", **facts
        ),
        approximation_gap=apart,
        posterior=climbs[0][0].density(*values),
        improved=float(better.double().mean()),
        form=form,
        steps=steps,
        notes=_notes(taken if likelihood is None else likelihood),
    )


def _measured(climb: Ascent, k: int, seed: int, few: int, tell: Told) -> Tensor:
    """Returns what k samples of both q tell of each datum, (12, B), float64.

    They are mean and variance of the mean of: the encoder's bound, the refined one, their
    difference, log p(x) minus the refined one; and what `Weights.summary` has.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    refined = climb.q
    for start in range(0, k, few):
        one, two = (
            climb.joint.log_weight(
                q, min(few, k - start), KeyedNoise(seed, climb.joint.b.index, start=start)
            )
            for q in (climb.amortized, refined)
        )
        parts.append((one, two))
        tell(2 * len(one))
    before, after = (torch.cat(p) for p in zip(*parts, strict=True))
    weights = Weights(k)
    weights.add(after)
    summary = weights.summary()
    # log of a mean minus a mean of logs: to first order the mean of w / mean(w) - log w.
    slope = (after - summary[0]).exp() - after
    told = [
        *(t for v in (before, after, after - before) for t in (v.mean(0), v.var(0) / k)),
        summary[0] - after.mean(0),
        slope.var(0) / k,
    ]
    return torch.cat([torch.stack(told), summary])


def _joined(
    climbs: list[tuple[Free, Tensor]], n: int, device: torch.device
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Returns the numbers of all data's q, and whether each was changed."""
    each = zip(*(refined.values for refined, _ in climbs), strict=True)
    values = tuple(ranks.gather(torch.cat(v).cpu(), n).to(device) for v in each)
    return values, ranks.gather(torch.cat([better for _, better in climbs]).cpu(), n)


def _notes(likelihood: Estimate) -> tuple[str, ...]:
    """What to be careful with."""
    if likelihood.pareto is None:
        return ()
    heavy = float((likelihood.pareto > 0.7).double().mean())
    if not heavy:
        return ()
    return (
        f"The importance weights of {heavy:.1%} of the data are heavy-tailed (Pareto shape above "
        "0.7): log p(x) and the approximation gap are too small there. The form 'full' or an "
        "annealed likelihood tells more.",
    )
