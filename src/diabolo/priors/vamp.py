r"""The VampPrior: a mixture of posteriors of learned pseudo-inputs.

.. math:: p(z) = \tfrac1M \sum_{m=1}^M q(z \mid u_m)

Shapes: M pseudo-inputs, D latent elements, V the shape of what the encoder reads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributions import Mixture, Space, space_of
from ..errors import DiaboloError
from ..noise import MEAN
from ..spec import Spec
from ..views import default_view

__all__ = ["Vamp", "vamp"]

EDGE = 0.02  # pseudo-inputs start this far inside their range, where they can still be moved
APART = 0.2  # of the way to the middle: repeats of an example differ, as equal ones stay equal


class Vamp(nn.Module):
    """p(z) = mean of q(z | u_m), whatever the condition.

    The posterior belongs to the model, which registers it once: here it is held beside the tree
    of modules, so that weights are saved once, while copies and moves of the whole model keep
    both in step.

    Arguments:
        posterior: Maps what the encoder reads (M, *V) to a density of z.
        start: What the encoder reads of some data, (M, *V): the first pseudo-inputs.
        low: The least value of each element, broadcasting to V.
        high: The greatest value of each element; what does not vary stays as it is.
    """

    low: Tensor
    high: Tensor

    def __init__(self, posterior: nn.Module, start: Tensor, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self._beside = (posterior,)  # a tuple: modules in it are not registered
        span = torch.where(high > low, high - low, 1.0)
        part = ((start - low) / span).clamp(EDGE, 1 - EDGE)
        self.raw = nn.Parameter(part.logit())
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.register_buffer("logits", torch.zeros(len(start)), persistent=False)

    @property
    def space(self) -> Space:
        """Where the posterior's points lie."""
        return space_of(self._beside[0])

    @property
    def pseudo_inputs(self) -> Tensor:
        """The pseudo-inputs, (M, *V), within the range of what the encoder reads."""
        return self.low + (self.high - self.low) * self.raw.sigmoid()

    def forward(self, c: Tensor | None = None) -> Mixture:
        """Returns the density of z (D,), without a batch axis."""
        return Mixture(self.get_buffer("logits"), self._beside[0](self.pseudo_inputs, None))


def vamp(
    latent: int, condition: int = 0, *, posterior: nn.Module, spec: Spec, count: int = 500
) -> Vamp:
    """Returns the VampPrior; its pseudo-inputs start from training data.

    References:
        | VAE with a VampPrior (Tomczak & Welling, 2018), eq. 9
        | https://arxiv.org/abs/1705.07120

    Arguments:
        latent: Unused: the posterior knows it.
        condition: The width of the condition, which must be 0.
        posterior: The posterior q(z | x) that the model registers.
        spec: What is known of the data, with examples.
        count: The number M of pseudo-inputs.

    Raises:
        DiaboloError: If there is a condition, no example or no pseudo-input.
    """
    if condition:
        raise DiaboloError(
            "The prior 'vamp' takes no condition, but this model has one: use prior=flow or "
            "prior=conditional."
        )
    if count < 1:
        raise DiaboloError(f"The prior 'vamp' needs at least 1 pseudo-input, but got {count}.")
    if spec.examples is None or not len(spec.examples):
        raise DiaboloError(
            "The prior 'vamp' starts its pseudo-inputs from training data and learns them with its "
            "model: give the spec examples, or take prior=mixture, which needs none."
        )
    examples = spec.examples.to(torch.get_default_dtype())
    seen = torch.isfinite(examples)
    read = default_view(spec)(examples, None if bool(seen.all()) else seen, MEAN)
    # Each channel or column has a range of its own, that of the examples.
    flat = read.transpose(0, 1).flatten(1)
    shape = (-1, *[1] * (read.ndim - 2))
    low, high = flat.amin(1).view(shape), flat.amax(1).view(shape)
    start = read[torch.arange(count) % len(read)]
    again = start[len(read) :]
    start[len(read) :] = again.lerp((low + high) / 2, APART * torch.rand_like(again))
    return Vamp(posterior, start, low, high)
