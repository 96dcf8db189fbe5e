r"""Normalizing flows: a simple density pushed through affine couplings.

.. math:: x = f(y), \; y \sim p_0, \qquad \log p(x) = \log p_0(y) - \log |\det f'(y)|

A coupling changes one part of the vector by a scale and a shift that a network reads from the
rest of it and from a context; both directions cost one pass.

References:
    | Density estimation using Real NVP (Dinh et al., 2017), eq. 4 to 8
    | https://arxiv.org/abs/1605.08803

Shapes: `*` any batch, most often (K, B); D elements of x; H width of the context.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import DiaboloError
from ..noise import FRESH, Noise
from ._shapes import broadcast_shapes
from .base import Distribution

__all__ = ["Couplings", "Flowed"]

SLOPE = math.log(1e-3)  # bounds the log-scale of one coupling
DAMP = 0.1  # the share of their usual size with which last layers start: near the identity


@contextlib.contextmanager
def _torch_as_it_was() -> Iterator[None]:
    """Keeps what importing zuko turns off in torch's densities, their checks, to zuko's own."""
    base = torch.distributions.Distribution
    validate, constraints = base._validate_args, base.__dict__["arg_constraints"]
    try:
        yield
        import zuko.distributions

        for kind in vars(zuko.distributions).values():
            if isinstance(kind, type) and kind.__module__.startswith("zuko."):
                kind._validate_args, kind.arg_constraints = False, {}  # type: ignore[attr-defined]
    finally:
        base._validate_args = validate
        base.arg_constraints = constraints  # type: ignore[method-assign]


class _Coupling(nn.Module):
    """One affine coupling: zuko's network, and the order in which kept elements come first."""

    order: Tensor
    back: Tensor

    def __init__(self, keep: Tensor, context: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        with _torch_as_it_was():
            from zuko.nn import MLP

        self.kept = int(keep.sum())
        # Two numbers for each moved element: its shift and its raw log-scale, side by side.
        self.net = MLP(self.kept + context, 2 * (len(keep) - self.kept), hidden, nn.SiLU)
        with torch.no_grad():
            for p in self.net[-1].parameters():
                p.mul_(DAMP)
        order = torch.cat([keep.nonzero().flatten(), (~keep).nonzero().flatten()])
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        x = x[..., self.order]
        kept, moved = x[..., : self.kept], x[..., self.kept :]
        read = kept if context is None else torch.cat([kept, context], dim=-1)
        shift, scale = self.net(read).unflatten(-1, (-1, 2)).unbind(-1)
        scale = scale / (1 + (scale / SLOPE).abs())
        if inverse:
            moved, volume = (moved - shift) * torch.exp(-scale), -scale.sum(-1)
        else:
            moved, volume = moved * torch.exp(scale) + shift, scale.sum(-1)
        return torch.cat([kept, moved], dim=-1)[..., self.back], volume


class Couplings(nn.Module):
    """Affine couplings that take turns in what they change.

    Their networks are zuko's. The affine map is applied here, as zuko's transform objects break
    a compiled graph; it is the same function.

    Arguments:
        size: The number D of elements, at least 2.
        context: The width H of the context, 0 for none.
        transforms: The number of couplings.
        hidden: The widths of each network's layers.

    Raises:
        DiaboloError: If there are too few elements or couplings.
    """

    def __init__(
        self,
        size: int,
        context: int = 0,
        *,
        transforms: int = 8,
        hidden: tuple[int, ...] = (128, 128),
    ) -> None:
        super().__init__()
        if size < 2:
            raise DiaboloError(
                f"A flow of couplings needs at least 2 latent elements, but got {size}: "
                "use latent=2 or more."
            )
        if transforms < 1:
            raise DiaboloError(f"A flow needs at least 1 transform, but got {transforms}.")
        bits = (size - 1).bit_length()
        position = torch.arange(size)
        # Coupling i keeps the elements of which one bit of their position is i % 2; over the
        # couplings all bits take their turn, so that every two elements meet.
        self.steps = nn.ModuleList(
            _Coupling((position >> (i // 2 % bits)) % 2 == i % 2, context, tuple(hidden))
            for i in range(transforms)
        )

    def forward(
        self, x: Tensor, context: Tensor | None = None, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Returns f(x), or its inverse, and the log-determinant of what was applied.

        Couplings run in the type of their weights, whatever autocast says.

        Arguments:
            x: (*, D).
            context: A context (*, H) whose leading axes broadcast to those of x, or None.
            inverse: Whether to apply the inverse of f.

        Returns:
            The image (*, D) and the log-determinant (*).
        """
        kind = next(self.parameters()).dtype
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(kind)
            if context is not None:
                context = context.to(kind)
                lead = broadcast_shapes(x.shape[:-1], context.shape[:-1])
                x, context = x.expand(*lead, -1), context.expand(*lead, -1)
            volume = x.new_zeros(())
            for step in reversed(self.steps) if inverse else self.steps:
                x, more = step(x, context, inverse)
                volume = volume + more
        return x, volume


@dataclass(frozen=True, eq=False)
class Flowed(Distribution):
    """A density of vectors pushed through a flow.

    Arguments:
        base: The density of y, events (D,).
        flow: The map from y to x, with its inverse.
        context: What the flow reads beside y, (*, H), or None.
        frozen: Whether gradients stop at the flow's parameters.
    """

    base: Distribution
    flow: Couplings
    context: Tensor | None = None
    frozen: bool = False

    @property
    def event_ndim(self) -> int:
        """1: events are vectors."""
        return self.base.event_ndim

    @property
    def batch_shape(self) -> torch.Size:
        """The batch shape of the base."""
        return self.base.batch_shape

    def _flow(self, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        if not self.frozen:
            return self.flow(x, self.context, inverse)
        still = {name: p.detach() for name, p in self.flow.named_parameters()}
        return functional_call(self.flow, still, (x, self.context, inverse))

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the log-density of x in nats, with shape (*).

        Raises:
            DiaboloError: If some elements are unseen: a flow has no marginals in closed form.
        """
        if mask is not None:
            raise DiaboloError("A flow has no marginal density: it needs every element seen.")
        y, volume = self._flow(x, True)
        return self.base.log_prob(y) + volume

    def rsample(self, shape: tuple[int, ...] = (), noise: Noise = FRESH) -> Tensor:
        """Returns samples: those of the base, pushed through the flow."""
        return self._flow(self.base.rsample(shape, noise), False)[0]

    def rsample_and_log_prob(
        self, shape: tuple[int, ...] = (), noise: Noise = FRESH
    ) -> tuple[Tensor, Tensor]:
        """Returns samples and their log-density in one pass."""
        y, log_p = self.base.rsample_and_log_prob(shape, noise)
        x, volume = self._flow(y, False)
        return x, log_p - volume

    def detach(self) -> Flowed:
        """Returns the same density with gradients stopped at its and the flow's parameters."""
        context = None if self.context is None else self.context.detach()
        return replace(self, base=self.base.detach(), context=context, frozen=True)
