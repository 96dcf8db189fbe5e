r"""What an autoencoder pays for its code and Jacobians, in units that no rescaling changes.

A network can shrink its code, or make its gradients small, at no price: the decoder multiplies by
what the encoder divided by. A charge on the code as it stands is paid by such a bargain and asks
for nothing. Unit columns of the decoder's first layer forbid it where that is the only layer; in a
deep decoder the next layers make up for it. So each element of the code is measured by its *gain*,
how far the raw output r of the decoder moves with it,

.. math:: g_j = \Big\| \frac{\partial r}{\partial z_j} \Big\|_2, \qquad
    z_j \to a_j z_j \implies g_j \to g_j / a_j

and :math:`g_j z_j` and :math:`g_j \nabla_x z_j` are the same whatever the a. For a linear decoder
the gain is the length of a column, 1 where columns have unit length: then these are the charges of
the textbooks. A raw output is what the network says before it is made a density: log-odds do not
saturate as probabilities do.

Shapes: B data, D elements of the code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .jacobians import columns, normals, product, rows, signs
from .model import LatentModel
from .noise import MEAN, Noise

__all__ = ["Contraction", "Ridge", "Sparsity", "encoder"]


def decoder(model: LatentModel, c: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Returns the map of codes (B, D) to what the decoder puts out, (B, *)."""
    return lambda z: model.likelihood.net(z, c).to(z.dtype)


def encoder(
    model: LatentModel, seen: Tensor, c: Tensor | None, mask: Tensor | None
) -> Callable[[Tensor], Tensor]:
    """Returns the map of what the encoder reads of values, (B, *), to the posterior's mean (B, D).

    What it reads beside values that were seen is held, so that no Jacobian is by the mask.

    Arguments:
        model: The model.
        seen: What the encoder reads of x, (B, *).
        c: The condition, (B, C), or None.
        mask: True where an entry was seen, (B, *E); None if all were.
    """
    if mask is None:
        event = model.likelihood.event
        mask = torch.ones(len(seen), *event, dtype=torch.bool, device=seen.device)
    free = model.view.values(mask)  # type: ignore[operator]

    def encode(values: Tensor) -> Tensor:
        values = torch.where(free, values, seen)
        return torch.cat([d.z[0].flatten(1) for d in model.latent(values, c, 1, MEAN).draws], dim=1)

    return encode


class _Charge(nn.Module):
    """A price, and how Jacobians are found: exactly, by an estimate, or (None) not at all."""

    def __init__(self, price: float, *, exact: bool | None = False) -> None:
        super().__init__()
        self.price, self.exact = price, exact

    def extra_repr(self) -> str:
        """Returns what a printed model says of its charge."""
        how = "" if self.exact is None else f", {'exact' if self.exact else 'estimated'} Jacobian"
        return f"price={self.price:g}{how}"


class Sparsity(_Charge):
    r"""The L1 norm of the code, each element in units of its gain.

    .. math:: \lambda \sum_j g_j |z_j|

    A product of the decoder's Jacobian with standard normal numbers is normal with standard
    deviation g, so that :math:`\sqrt{\pi/2}` of its size is an estimate of g without bias.

    References:
        | Update on how we train SAEs (Conerly et al., 2024), for linear decoders
        | https://transformer-circuits.pub/2024/april-update

    Arguments:
        price: Nats for each unit.
        exact: Whether gains are found exactly, by D gradients, or estimated by one.
    """

    def forward(
        self,
        model: LatentModel,
        seen: Tensor,
        code: Tensor,
        c: Tensor | None,
        noise: Noise,
        mask: Tensor | None,
    ) -> Tensor:
        """Returns the charge of each datum, (B,)."""
        z, decode = code[0], decoder(model, c)
        if self.exact:
            gain = columns(decode, z)
        else:
            gain = math.sqrt(math.pi / 2) * product(decode, z, lambda r: normals(r, noise)).abs()
        return self.price * (gain * z.abs()).sum(1)


class Contraction(_Charge):
    r"""The squared Frobenius norm of the encoder's Jacobian, each element in units of its gain.

    .. math:: \lambda \sum_j g_j^2 \Big\| \frac{\partial z_j}{\partial x} \Big\|_2^2

    The Jacobian is by what the encoder reads of the values that were seen: standardised values, or
    channels of codes. What tells of the mask is no value, and an entry that was not seen has none.

    Arguments:
        price: Nats for each unit.
        exact: Whether Jacobians are found exactly, by 2 D gradients, or estimated by two.
    """

    def forward(
        self,
        model: LatentModel,
        seen: Tensor,
        code: Tensor,
        c: Tensor | None,
        noise: Noise,
        mask: Tensor | None,
    ) -> Tensor:
        """Returns the charge of each datum, (B,)."""
        z, decode, encode = code[0], decoder(model, c), encoder(model, seen, c, mask)
        if self.exact:
            return self.price * (columns(decode, z) * rows(encode, seen)).square().sum(1)
        gain = product(decode, z, lambda r: signs(r, noise))  # its square is, in the mean
        found = product(encode, seen, lambda z: gain * signs(z, noise))
        return self.price * found.flatten(1).square().sum(1)


class Ridge(_Charge):
    r"""The squared length of the code, and either the decoder's weights or its Jacobian.

    .. math:: \tfrac{\beta}{2} \|z\|_2^2 + \lambda \|\theta\|_2^2
        \qquad \text{or} \qquad \tfrac{\beta}{2} \|z\|_2^2 + \lambda \sum_j g_j^2

    Either alone could be evaded by rescaling; together they cannot. Weights are those that
    multiply: biases are free.

    Arguments:
        price: Nats for each unit of the second term.
        code: Nats for each unit of the first term, beta.
        exact: Whether the Jacobian is found exactly, by D gradients, or estimated by one; None
            charges the weights instead.
    """

    def __init__(self, price: float, *, code: float, exact: bool | None = None) -> None:
        super().__init__(price, exact=exact)
        self.code = code

    def forward(
        self,
        model: LatentModel,
        seen: Tensor,
        code: Tensor,
        c: Tensor | None,
        noise: Noise,
        mask: Tensor | None,
    ) -> Tensor:
        """Returns the charge of each datum, (B,)."""
        z, decode = code[0], decoder(model, c)
        if self.exact is None:
            matrices = [p for p in model.likelihood.net.parameters() if p.ndim > 1]
            smooth = torch.stack([p.square().sum() for p in matrices]).sum()
        elif self.exact:
            smooth = columns(decode, z).square().sum(1)
        else:
            smooth = product(decode, z, lambda r: signs(r, noise)).square().sum(1)
        return 0.5 * self.code * z.square().sum(1) + self.price * smooth
