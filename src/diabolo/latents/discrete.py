r"""A latent of categorical elements: gone through value by value, or drawn with Gumbel noise.

.. math:: z = \arg\max_l \, (\lambda_l + g_l), \qquad
    y_T = \mathrm{softmax}\big((\lambda + g) / T\big), \qquad g = -\log(-\log u)

Shapes: K posterior samples, B batch, D latent elements, L values of each, V = L^D codes.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from ..distributions import Categorical, draw
from ..model import Draw, Inferred
from ..noise import FRESH, Noise

__all__ = ["Discrete", "one_hot", "perturbed"]


def perturbed(logits: Tensor, k: int, noise: Noise) -> Tensor:
    """Returns K copies of logits with Gumbel noise added, whose largest are draws of z."""
    uniform = noise.uniform((k, *logits.shape), logits)
    uniform = uniform.clamp(min=torch.finfo(logits.dtype).tiny)  # fresh noise may be 0
    return logits - (-uniform.log()).log()


def one_hot(z: Tensor, like: Tensor) -> Tensor:
    """Returns values z (*, D), whole numbers, as ones among zeros of the shape (*, L, D).

    Arguments:
        z: The values.
        like: Tells L and the type, (..., L, D).
    """
    hot = like.new_zeros(*z.shape[:-1], *like.shape[-2:])
    return hot.scatter(-2, z.long().unsqueeze(-2), 1.0)


class Discrete(nn.Module):
    """Categorical elements, independent given x; the code is one-hot, (L * D,).

    Where the values are gone through, averages over q and log p(x) have no error (`every`).
    Otherwise z is drawn, and in training the code passes a gradient on in one of two ways, both
    biased: `relaxed`, it is the softmax of what z is the largest of; `straight`, it is the value
    drawn, with the gradient of that softmax. In evaluation a code is always that of a value.

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017)
        | https://arxiv.org/abs/1611.01144
        | The Concrete Distribution (Maddison, Mnih & Teh, 2017)
        | https://arxiv.org/abs/1611.00712

    Arguments:
        posterior: Maps what the encoder sees, and c, to a `Categorical` of D elements.
        logits: Those of p(z), (L, D).
        estimator: `exact`, `relaxed` or `straight`.
        learned: Whether p(z) is learned.
    """

    deterministic = False
    logits: Tensor
    temperature: Tensor
    values: Tensor

    def __init__(
        self,
        posterior: nn.Module,
        logits: Tensor,
        estimator: Literal["exact", "relaxed", "straight"],
        *,
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.posterior, self.estimator = posterior, estimator
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits)
        self.register_buffer("temperature", torch.ones(()))
        levels, size = logits.shape
        self.groups, self.levels = (size,), (levels,) * size
        self.exact = estimator == "exact"
        self.enumerates = levels**size if self.exact else None
        every = list(product(range(levels), repeat=size)) if self.exact else []
        self.register_buffer("values", logits.new_tensor(every), persistent=False)

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns K draws for each datum."""
        q, p = self.posterior(x, c), self._prior()
        noisy = perturbed(q.logits, k, noise)  # (K, B, L, D)
        z = noisy.argmax(-2).to(noisy.dtype)
        hot = one_hot(z, noisy)
        if self.training and not self.exact:
            soft = (noisy / self.temperature).softmax(-2)
            hot = soft if self.estimator == "relaxed" else hot + (soft - soft.detach())
        one = Draw(z, q.log_prob(z), p.log_prob(z), q, p)
        return Inferred(hot.flatten(-2), (one,), z.new_zeros(()))

    def every(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns all V values for each datum, once whatever k is: nothing is left to chance."""
        q, p = self.posterior(x, c), self._prior()
        z = self.values[:, None].expand(-1, x.shape[0], -1)  # (V, B, D)
        one = Draw(z, q.log_prob(z), p.log_prob(z), q, p)
        return Inferred(one_hot(z, self.logits).flatten(-2), (one,), z.new_zeros(()), one.log_q)

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns the codes of n draws of the prior, (n, L * D)."""
        return self.assemble(draw(self._prior(), n, noise))

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns the codes of values (n, D); numbers between values stand for the nearest one."""
        return one_hot(z.round().clamp(0, len(self.logits) - 1), self.logits).flatten(-2)

    def _prior(self) -> Categorical:
        return Categorical(self.logits, 1)
