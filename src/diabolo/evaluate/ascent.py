r"""A posterior of its own for each datum: its bound is climbed from where the encoder put it.

.. math:: \lambda_n = \arg\max_\lambda \,
    \mathbb{E}_{q(z; \lambda)} \big[\log p(x_n, z) - \log q(z; \lambda)\big]

All data of a batch climb at once, by Adam with a rate that falls to 0, and the mean of the second
half of the way is where they arrive. The gradients are those of the path alone, which have no noise
where q is the posterior; samples in pairs of opposite sign leave none in those of the mean where
log p(x, z) is quadratic.

Shapes: K samples, B batch, D latent elements, H width of a flow's context.

References:
    | Stochastic Variational Inference (Hoffman et al., 2013), section 2.1: a local parameter for
    | each datum, https://arxiv.org/abs/1206.7051
    | Sticking the Landing (Roeder, Wu & Duvenaud, 2017), section 3, https://arxiv.org/abs/1703.09194
    | Acceleration of Stochastic Approximation by Averaging (Polyak & Juditsky, 1992)
    | https://doi.org/10.1137/0330046
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..data import Batch
from ..distributions import Distribution, Flowed, Laplace, Logistic, MultivariateNormal, Normal
from ..errors import DiaboloError, unknown
from ..model import LatentModel
from ..noise import KeyedNoise, Noise, mix_seed
from .continuous import densities
from .graph import Decoding

__all__ = [
    "FORMS",
    "SAMPLES",
    "STEP",
    "Ascent",
    "Form",
    "Free",
    "Joint",
    "ascend",
    "check_form",
    "free",
]

Form = Literal["own", "diagonal", "full"]
SAMPLES = 8  # of each step: four pairs
STEP = 3 * SAMPLES  # passes of the decoder that a step costs, its gradients among them
RATE = 0.1  # of Adam at first, in units of z and of log-scales
MEMORY = (0.9, 0.99)  # of Adam: the second follows a gradient that shrinks on the way
TRIALS = 256  # samples that tell whether the climb was worth it
SURE = 1.0  # standard errors by which it must have been: no chance move of a q that was best
MOMENTS = 256  # samples that tell mean and variance of a q without formulas for them
FORMS = {"own": "the encoder's family", "diagonal": "diagonal normal", "full": "full normal"}
CLIMB, TRIAL, MOMENT = 4, 5, 6  # what a seed is mixed with: each stream has noise of its own


class Joint(NamedTuple):
    """What a batch fixes of p(x, z): only q is left open.

    Attributes:
        p: p(z | c).
        c: The condition as the likelihood reads it, (B, C), or None.
        b: The batch.
        decoding: log p(x | z, c).
    """

    p: Distribution
    c: Tensor | None
    b: Batch
    decoding: Decoding

    def log_weight(self, q: Distribution, k: int, noise: Noise) -> Tensor:
        """Returns log p(x, z) - log q(z) of k draws of q, in nats, (K, B), float64.

        Gradients are those of z: none goes to q by its density's own parameters.
        """
        if torch.is_grad_enabled():
            z = q.rsample((k,), noise)
            log_q = q.detach().log_prob(z)
        else:
            z, log_q = q.rsample_and_log_prob((k,), noise)
        log_px = self.decoding(z, self.c, self.b.x, self.b.mask)
        return log_px + (self.p.log_prob(z) - log_q)


class Free(NamedTuple):
    """A density by numbers that may have any value.

    Attributes:
        values: Tensors (B, *), the numbers of each datum.
        density: Makes the density of such tensors.
    """

    values: tuple[Tensor, ...]
    density: Callable[..., Distribution]


class Ascent(NamedTuple):
    """Where a batch's posteriors came from and where they arrived.

    Attributes:
        amortized: The encoder's q, of batch shape (B,).
        refined: The numbers of the q of each datum, and the density that they make.
        better: Whether the climb was worth it, (B,): else the numbers are those of its start.
        joint: What they are posteriors of.
    """

    amortized: Distribution
    refined: Free
    better: Tensor
    joint: Joint

    @property
    def q(self) -> Distribution:
        """The refined posteriors, of batch shape (B,)."""
        return self.refined.density(*self.refined.values)


class Mirrored(Noise):
    """Noise in pairs of opposite sign along the first axis.

    Arguments:
        noise: Where the first half comes from.
    """

    def __init__(self, noise: Noise) -> None:
        self.noise = noise

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns standard normal numbers, the second half those of the first times -1."""
        half = self.noise.normal((shape[0] // 2, *shape[1:]), like)
        return torch.cat([half, -half])

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns uniform numbers, the second half 1 minus those of the first."""
        half = self.noise.uniform((shape[0] // 2, *shape[1:]), like)
        return torch.cat([half, 1 - half])


def ascend(
    model: LatentModel,
    b: Batch,
    decoding: Decoding,
    *,
    form: Form,
    steps: int,
    seed: int,
    what: str,
    tell: Callable[[int], None],
) -> Ascent:
    """Returns the posterior of each datum that the bound led to, from the encoder's.

    Of each datum the start is kept unless the end is better, by more than a standard error, on
    noise that neither the climb nor a later estimate with this seed has seen, so that such an
    estimate is free of bias.

    Arguments:
        model: A model that `check_continuous` lets pass, in evaluation mode.
        b: The batch.
        decoding: The likelihood of the model.
        form: `own` keeps the encoder's family, of which each datum gets parameters of its own;
            `diagonal` and `full` are normal densities.
        steps: How many steps the climb has.
        seed: Keys the noise by row.
        what: Who asks: the subject of an error.
        tell: Called with `STEP` after each step.

    Raises:
        DiaboloError: If the posterior has no parameters by which it could be refined.
    """
    found = densities(model, b, what, instead="")
    joint = Joint(found.p, found.c, b, decoding)
    start = free(_formed(found.q, form, seed, b, what), what)
    values = [v.detach().clone().requires_grad_() for v in start.values]
    adam = torch.optim.Adam(values, lr=RATE, betas=MEMORY)
    last = -(-steps // 2)
    ends = [torch.zeros_like(v) for v in start.values]
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        noise = KeyedNoise(mix_seed(seed, CLIMB), b.index, start=step * SAMPLES // 2)
        with torch.enable_grad():
            log_weight = joint.log_weight(start.density(*values), SAMPLES, Mirrored(noise))
            loss = -log_weight.mean(0).sum()
        for value, slope in zip(values, torch.autograd.grad(loss, values), strict=True):
            value.grad = slope.nan_to_num(0.0, 0.0, 0.0)  # one datum's trouble is not another's
        adam.step()
        if step >= steps - last:
            ends = [e + v.detach() / last for e, v in zip(ends, values, strict=True)]
        tell(STEP)
    better = _better(joint, start.density(*start.values), start.density(*ends), seed)
    kept = tuple(
        torch.where(better[(..., *[None] * (new.ndim - 1))], new, old)
        for new, old in zip(ends, start.values, strict=True)
    )
    return Ascent(found.q, Free(kept, start.density), better, joint)


def check_form(form: str) -> None:
    """Refuses a form that there is not.

    Raises:
        DiaboloError: With the known ones.
    """
    if form not in FORMS:
        raise unknown("form of q", str(form), FORMS)


def free(q: Distribution, what: str) -> Free:
    """Returns a density of batch shape (B,) by numbers that are free.

    Raises:
        DiaboloError: If it is none of those that a posterior of real vectors has here.
    """
    if isinstance(q, Normal | Laplace | Logistic):

        def scaled(loc: Tensor, log_scale: Tensor) -> Distribution:
            return replace(q, loc=loc, log_scale=log_scale)

        return Free((q.loc, q.log_scale.expand_as(q.loc)), scaled)
    if isinstance(q, MultivariateNormal):
        return Free((q.loc, _rows(q.scale_tril)), _full)
    if isinstance(q, Flowed):
        base = free(q.base, what)
        context = () if q.context is None else (q.context,)
        own = len(base.values)

        def flowed(*values: Tensor) -> Distribution:
            read = values[own] if context else None
            return replace(q, base=base.density(*values[:own]), context=read)

        return Free((*base.values, *context), flowed)
    raise DiaboloError(
        f"{what} climbs by the parameters of q, but a {type(q).__name__} has none that it knows: "
        "ask for the form 'diagonal' or 'full'."
    )


def _full(loc: Tensor, rows: Tensor) -> MultivariateNormal:
    """The normal density of a factor (*, D, D) by the logarithm of its diagonal, and row by row.

    What lies left of the diagonal is told relative to it: numbers of one size in all rows, however
    narrow the density is.
    """
    diagonal = rows.diagonal(dim1=-2, dim2=-1).exp()
    unit = rows.tril(-1) + torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    return MultivariateNormal(loc, diagonal[..., None] * unit)


def _rows(factor: Tensor) -> Tensor:
    """The numbers that make up a factor; see `_full`."""
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    return (factor / diagonal[..., None]).tril(-1) + torch.diag_embed(diagonal.log())


def _formed(q: Distribution, form: Form, seed: int, b: Batch, what: str) -> Distribution:
    """Returns the density of a form that is nearest to q: of its mean and variances."""
    like = {"own": Distribution, "diagonal": Normal, "full": MultivariateNormal}
    if isinstance(q, like[form]):
        return q
    try:
        mean, variance = q.mean, q.variance
    except DiaboloError:  # a flow has no formulas
        z = q.sample((MOMENTS,), KeyedNoise(mix_seed(seed, MOMENT), b.index))
        mean, variance = z.mean(0), z.var(0)
    normal = Normal(mean, 0.5 * variance.log().expand_as(mean))
    return normal if form == "diagonal" else MultivariateNormal(mean, normal.scale_tril)


def _better(joint: Joint, old: Distribution, new: Distribution, seed: int) -> Tensor:
    """Returns whether the bound of a new q is above that of the old by its error, (B,)."""
    gains = []
    for start in range(0, TRIALS, SAMPLES):
        noise = [KeyedNoise(mix_seed(seed, TRIAL), joint.b.index, start=start) for _ in range(2)]
        gains.append(
            joint.log_weight(new, SAMPLES, noise[0]) - joint.log_weight(old, SAMPLES, noise[1])
        )
    gain = torch.cat(gains)
    return gain.mean(0) > SURE * gain.std(0) / math.sqrt(TRIALS)  # NaN is not
