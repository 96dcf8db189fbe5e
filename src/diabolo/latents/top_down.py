r"""A ladder: one pass up for features, then posterior and prior share each step down.

.. math:: p(z_1, \dots, z_L) = \prod_l p(z_l \mid z_{<l}), \qquad
    q(z_1, \dots, z_L \mid x) = \prod_l q(z_l \mid z_{<l}, x)

Shapes: K posterior samples, B batch, D one group's size, H width of the state, F of a feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from ..distributions import Normal
from ..model import Conditional, Draw, Inferred
from ..noise import FRESH, Noise

__all__ = ["Step", "TopDown"]


class Step(nn.Module):
    r"""One group: p(z | h), q(z | h, f) and the next state.

    The posterior is given relative to the prior, so that a group that tells nothing costs
    nothing from the first step on (Vahdat & Kautz, 2020, section 3.2):

    .. math:: q = \mathcal{N}(\mu_p + \sigma_p \, \Delta\mu, \; \sigma_p \, \Delta\sigma)

    Arguments:
        prior: Maps the state and c to p(z | h, c), a `Normal`.
        change: Maps state and feature, joined, and c to the change: a `Normal`.
        merge: Maps state and latent, joined, to what is added to the state.
        size: The number D of latent elements.
    """

    def __init__(
        self, prior: Conditional, change: Conditional, merge: nn.Module, size: int
    ) -> None:
        super().__init__()
        self.prior, self.change, self.merge, self.size = prior, change, merge, size

    def infer(self, h: Tensor, f: Tensor, c: Tensor | None, noise: Noise) -> tuple[Tensor, Draw]:
        """Returns the next state (K, B, H) and the draw, from h (K, B, H) and f (B, F)."""
        p = self.prior(h, c)
        change = self.change(torch.cat([h, f.expand(*h.shape[:-1], -1)], dim=-1), c)
        loc = p.loc + p.log_scale.exp() * change.loc
        q = Normal(loc, p.log_scale + change.log_scale, 1)
        z, log_q = q.rsample_and_log_prob((), noise)
        return self.go(h, z), Draw(z, log_q, p.log_prob(z), q, p)

    def go(self, h: Tensor, z: Tensor) -> Tensor:
        """Returns the next state from a state (*, H) and a latent (*, D)."""
        return h + self.merge(torch.cat([h, z], dim=-1))


class TopDown(nn.Module):
    """Groups from the top, most general one, down; the code is the last state.

    Features are added to on their way up, as the state is on its way down, so that at the start
    the top group sees x as well as the bottom one. A feature that passed through every layer
    arrives faint; the lower groups then learn first, and leave the top nothing to tell.

    Arguments:
        bottom: Maps what the encoder sees, and c, to the lowest feature (B, F).
        ascend: Maps one feature to what is added to it for that above; one less than there are
            steps.
        steps: One `Step` for each group, from the top down.
        width: The width H of the state.

    References:
        | Ladder Variational Autoencoders (Sønderby et al., 2016)
        | https://arxiv.org/abs/1602.02282
        | NVAE (Vahdat & Kautz, 2020), for the residual posterior
        | https://arxiv.org/abs/2007.03898
    """

    deterministic = False

    def __init__(
        self, bottom: nn.Module, ascend: Iterable[nn.Module], steps: Iterable[Step], width: int
    ) -> None:
        super().__init__()
        self.bottom = bottom
        self.ascend, self.steps = nn.ModuleList(ascend), nn.ModuleList(steps)
        self.top = nn.Parameter(torch.zeros(width))
        self.groups = tuple(step.size for step in self._steps())

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K samples of every group for each datum."""
        features = [self.bottom(x, c)]
        for layer in self.ascend:
            features.append(features[-1] + layer(features[-1]))
        h = self.top.expand(k, x.shape[0], -1)
        draws = []
        for step, f in zip(self._steps(), reversed(features), strict=True):
            h, draw = step.infer(h, f, c, noise)
            draws.append(draw)
        return Inferred(h, tuple(draws), h.new_zeros(()))

    def _steps(self) -> Iterator[Step]:
        for step in self.steps:
            yield cast(Step, step)

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns n codes (n, H), each group drawn from its prior."""
        h = self.top.expand(n, -1)
        for step in self._steps():
            h = step.go(h, step.prior(h, c).sample((), noise))
        return h

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns the codes (n, H) of latent values (n, sum(groups))."""
        h = self.top.expand(z.shape[0], -1)
        for step, part in zip(self._steps(), z.split(self.groups, dim=1), strict=True):
            h = step.go(h, part)
        return h
