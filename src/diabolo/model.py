r"""One pass through a latent-variable model, and the record it leaves.

.. math:: p(x, z \mid c) = p(x \mid z, c) \, p(z \mid c), \qquad z \sim q(z \mid x, c)

A model never computes a loss: it returns a `Trace`, and an objective reads it.

Shapes: K posterior samples, B batch, E event shape of x, D latent shape, C condition width.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .distributions import Distribution, Family, Space, space_of
from .errors import DiaboloError
from .noise import FRESH, MEAN, Noise
from .trace import Draw, Inferred, Trace

__all__ = [
    "Charge",
    "Conditional",
    "Draw",
    "Inferred",
    "Latent",
    "LatentModel",
    "Recipe",
    "Trace",
]


class Latent(Protocol):
    """How z is held: inferred from what the encoder sees, or sampled from the prior.

    One with discrete values that are few enough can go through all of them. It says how many there
    are, `enumerates: int`, and whether nothing is left to chance then, `exact: bool`; and it has a
    method `every`, called as itself, whose samples are every value, once for each of k, with
    their shares. A deterministic one that has a prior all the same says so, `generates: bool`.

    One with discrete elements says how many values each element has, 0 where it is continuous,
    `levels: tuple[int, ...]`. A discrete element has whole numbers from 0, in no order that means
    something, and is one of a group whose q is a `Categorical`.

    One can also find out the condition where it is not given, if that is one class: it says so,
    `classifies: bool`, and has a method `classify` from what the encoder sees, (B, *), to
    log q(c | x), (B, C). It reads conditions as `latents.Unknown` makes them, in which a datum
    whose class is not known has zeros; and its code holds the class, its one discrete element.

    Attributes:
        groups: The number of latent elements in each group, in the order of the draws.
        deterministic: Whether the code is a function of x, with no density and no likelihood.
    """

    groups: tuple[int, ...]
    deterministic: bool

    def __call__(self, x: Tensor, c: Tensor | None, k: int, noise: Noise) -> Inferred:
        """Returns K samples for each datum of (B, *)."""
        ...

    def sample(self, n: int, c: Tensor | None, noise: Noise) -> Tensor:
        """Returns n codes of the prior, (n, *)."""
        ...

    def assemble(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Returns the codes (n, *) that latent values (n, sum(groups)) stand for."""
        ...


class Conditional(nn.Module):
    """p(y | h, c): a network whose last layer is a density.

    Leading axes are folded into one for the network and given back. The raw output is brought to
    at least float32 before it becomes a density, in whatever type the network computes.

    Arguments:
        net: Maps (N, *I) and a condition (N, C) or None to (N, width * E[0], *E[1:]).
        family: The densities of y.
        event: The shape E of y.
        inputs: The number of axes of I.
    """

    def __init__(
        self, net: nn.Module, family: Family, event: tuple[int, ...], inputs: int = 1
    ) -> None:
        super().__init__()
        self.net, self.family = net, family
        self.event, self.inputs = tuple(event), inputs
        self.width = family.width(self.event)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Distribution:
        """Returns the density of y with batch shape (*) from h (*, *I) and c (B, C).

        Raises:
            DiaboloError: If the network's output has another size than the family needs.
        """
        lead = h.shape[: h.ndim - self.inputs]
        flat = h.reshape(-1, *h.shape[len(lead) :])
        if c is not None:
            c = c.expand(*lead, c.shape[-1]).reshape(-1, c.shape[-1])
        raw = self.net(flat, c)
        if raw.dtype in (torch.bfloat16, torch.float16):
            raw = raw.float()
        if raw.shape[1:].numel() != self.width * prod(self.event):
            raise DiaboloError(
                f"The network of a {self.family.name} density "
                f"of shape {self.event} needs {self.width * prod(self.event)} outputs, but has "
                f"{raw.shape[1:].numel()}."
            )
        return self.family.from_raw(raw.reshape(*lead, self.width, *self.event), len(self.event))


class Charge(Protocol):
    """What a model pays beside its densities: for its Jacobians, the size of its code or weights.

    Only `LatentModel.forward` asks for it, so that encoding and decoding cost what they did.
    """

    def __call__(
        self,
        model: LatentModel,
        seen: Tensor,
        code: Tensor,
        c: Tensor | None,
        noise: Noise,
        mask: Tensor | None,
    ) -> Tensor:
        """Returns the charge of each datum, (B,), or one for all, ().

        Arguments:
            model: The model that pays.
            seen: What the encoder reads of x, (B, *).
            code: What the likelihood reads, (K, B, *).
            c: The condition as the likelihood reads it, (B, C), or None.
            noise: Where random numbers come from.
            mask: True where an entry was seen, (B, *E); None if all were.
        """
        ...


class LatentModel(nn.Module):
    """p(x, z | c) with its inference: a view of x, a latent and a likelihood.

    Arguments:
        view: What the encoder reads of x and its mask.
        latent: How z is held.
        likelihood: p(x | code, c), in the data's own units.
        condition: The width C of the condition, 0 for none.
        unknown: Where the model was trained with the condition dropped at times, the module that
            does so; then the condition may be left out.
        charge: What is paid beside the densities, a module and a `Charge`; None for nothing.

    Raises:
        DiaboloError: If z is enumerated, but the likelihood is fitted to one sample of it.
    """

    latent: Any  # a module and a `Latent`: Python has no type for both at once

    def __init__(
        self,
        view: nn.Module,
        latent: nn.Module,
        likelihood: Conditional,
        *,
        condition: int = 0,
        unknown: nn.Module | None = None,
        charge: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.view, self.latent, self.likelihood = view, latent, likelihood
        self.condition, self.unknown, self.charge = condition, unknown, charge
        if likelihood.family.batch_level and self.enumerates is not None:
            raise DiaboloError(
                "A likelihood that is fitted to each batch takes one sample of z for each datum, "
                f"but this model goes through {self.enumerates} values of it: learn the scale "
                "instead, Normal(scale=shared), say."
            )

    @property
    def deterministic(self) -> bool:
        """Whether codes are functions of x, so that there is no likelihood of x."""
        return bool(self.latent.deterministic)

    @property
    def generates(self) -> bool:
        """Whether there is a prior to draw from, which a deterministic latent may have too."""
        return getattr(self.latent, "generates", not self.deterministic)

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of latent elements in each group."""
        return tuple(self.latent.groups)

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of values of each latent element, 0 where it is continuous."""
        return getattr(self.latent, "levels", (0,) * sum(self.groups))

    @property
    def enumerates(self) -> int | None:
        """The number of values of z, or of its discrete part, that `every` goes through."""
        return getattr(self.latent, "enumerates", None)

    @property
    def exact(self) -> bool:
        """Whether z has no other part, so that averages over q have no error with `every`."""
        return getattr(self.latent, "exact", False)

    @property
    def space(self) -> Space:
        """Where codes lie: a latent says so (`space`) if they are not all of R^D."""
        return space_of(self.latent)

    @property
    def classifies(self) -> bool:
        """Whether the condition is a class that the model finds out itself: its p(x) has none."""
        return getattr(self.latent, "classifies", False)

    def given(self, c: Tensor | None) -> Tensor | None:
        """Returns the condition under which x is measured: none that the model finds out itself."""
        return None if self.classifies else c

    def forward(
        self,
        x: Tensor,
        c: Tensor | None = None,
        *,
        k: int = 1,
        mask: Tensor | None = None,
        noise: Noise = FRESH,
        every: bool = False,
    ) -> Trace:
        """Returns the trace of one pass.

        Arguments:
            x: Data (B, *E) in their own units.
            c: Conditions (B, C), where the model has one.
            k: Posterior samples for each datum.
            mask: True where an entry was seen, (B, *E); None if all were.
            noise: Where random numbers come from.
            every: Whether discrete values that can be enumerated all are, instead of drawn: then
                there are k samples of the rest of z for each of them, and one if there is none.

        Raises:
            DiaboloError: If a condition is lacking or not wanted.
        """
        c = self._condition(c, x.shape[0], x, noise)
        seen = self.view(x, mask, noise)
        code, draws, penalty, log_share = self._held(every)(seen, c, k, noise)
        c = self._read(c)
        px = self.likelihood(code, c)
        if self.charge is not None:
            penalty = penalty + self.charge(self, seen, code, c, noise, mask)
        return Trace(px, px.log_prob(x, mask), draws, penalty, log_share)

    def infer(
        self,
        x: Tensor,
        c: Tensor | None = None,
        *,
        k: int = 1,
        mask: Tensor | None = None,
        noise: Noise = FRESH,
        every: bool = False,
    ) -> tuple[Inferred, Tensor | None]:
        """Returns the first half of a pass, and the condition as the likelihood is to read it.

        Evaluation decodes the K codes of one inference in parts, so that x is encoded once.
        Arguments and errors are those of `forward`.
        """
        c = self._condition(c, x.shape[0], x, noise)
        return self._held(every)(self.view(x, mask, noise), c, k, noise), self._read(c)

    def sample(self, n: int, c: Tensor | None = None, *, noise: Noise = FRESH) -> Distribution:
        """Returns p(x | z, c) for n draws z ~ p(z | c): take its `.sample()` or its `.mean`."""
        like = next(self.parameters())
        c = self._condition(c, n, like, noise)
        return self.likelihood(self.latent.sample(n, c, noise), self._read(c))

    def encode(
        self, x: Tensor, c: Tensor | None = None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the posterior's mean and variance of z, each (B, sum(groups)).

        On a sphere the mean is a direction, and of a discrete z the most probable value stands for
        it. In a hierarchy each group is read at the means of those before it. The variance of a
        deterministic code is 0, and NaN where a posterior has no closed form.
        """
        c = self._condition(c, x.shape[0], x, MEAN)
        draws = self.latent(self.view(x, mask, MEAN), c, 1, MEAN).draws
        mean = torch.cat([d.z[0].flatten(1) for d in draws], dim=1)
        variance = [_variance(d, self.deterministic).flatten(1) for d in draws]
        return mean, torch.cat(variance, dim=1)

    def classify(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Returns the probability of each class, q(c | x), (B, C).

        Raises:
            DiaboloError: If the model does not find out its condition.
        """
        if not self.classifies:
            raise DiaboloError(
                "This model has no q(class | x): one that classifies is the recipe 'm2'."
            )
        return self.latent.classify(self.view(x, mask, MEAN)).exp()

    def decode(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Returns p(x | z, c) for latent values z (n, sum(groups)).

        Raises:
            DiaboloError: If z has another width.
        """
        if z.ndim != 2 or z.shape[1] != sum(self.groups):
            raise DiaboloError(
                f"This model decodes codes of shape (n, {sum(self.groups)}), but got "
                f"{tuple(z.shape)}."
            )
        c = self._condition(c, z.shape[0], z, MEAN)
        return self.likelihood(self.latent.assemble(z, c), self._read(c))

    def _read(self, c: Tensor | None) -> Tensor | None:
        """What the likelihood reads of the condition: nothing where the code holds it."""
        return None if self.classifies else c

    def _held(self, every: bool) -> Callable[..., Inferred]:
        return self.latent.every if every and self.enumerates is not None else self.latent

    def _condition(self, c: Tensor | None, n: int, like: Tensor, noise: Noise) -> Tensor | None:
        if c is not None and not self.condition:
            raise DiaboloError("This model takes no condition, but one was given.")
        if c is not None and c.shape != (n, self.condition):
            raise DiaboloError(
                f"This model needs conditions of shape ({n}, {self.condition}), but got "
                f"{tuple(c.shape)}."
            )
        if self.unknown is not None:
            return self.unknown(c, n, like, noise)
        if c is None and self.condition:
            raise DiaboloError(
                "This model is conditional: it needs a condition (a label, say) for each datum."
            )
        return c


def _variance(draw: Draw, deterministic: bool) -> Tensor:
    """The posterior variance of one group, with the shape of z[0]."""
    if draw.q is None:
        return torch.full_like(draw.z[0], 0.0 if deterministic else torch.nan)
    try:
        return draw.q.variance.expand_as(draw.z)[0]
    except DiaboloError:
        return torch.full_like(draw.z[0], torch.nan)


class Recipe(NamedTuple):
    """A model, what to maximise, and with how many posterior samples."""

    model: LatentModel
    objective: Callable[[Trace], Tensor]
    k: int = 1

    def trace(
        self,
        x: Tensor,
        c: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        noise: Noise = FRESH,
    ) -> Trace:
        """Returns what the objective is trained on: k samples of z, of what is not enumerated."""
        return self.model(x, c, k=self.k, mask=mask, noise=noise, every=True)
