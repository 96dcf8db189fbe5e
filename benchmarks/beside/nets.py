"""The networks that everybody trains: the very same modules, taken from Diabolo's registry.

A perceptron 784-400-40 and 20-400-784 (652,824 weights), and a small convolutional pair (about
312,000). The encoder's numbers are 20 means and 20 raw log-scales.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diabolo.distributions.scales import FLOOR, above
from diabolo.nets import NETS

__all__ = ["IMAGE", "LATENT", "NAMES", "bce", "decoder", "encoder", "kl", "load", "mean_log_var"]

IMAGE, LATENT = (1, 28, 28), 20
NAMES = {
    "mlp": "mlp(hidden=(400,), activation=relu)",
    "conv": "conv(channels=(32, 64), hidden=40, activation=relu)",
}


def encoder(net: str, latent: int = LATENT) -> nn.Module:
    """Returns a module from images to (N, 2 D) raw numbers."""
    return NETS.module(NAMES[net], IMAGE, (2 * latent,))


def decoder(net: str, latent: int = LATENT) -> nn.Module:
    """Returns a module from codes (N, D) to logits (N, 1, 28, 28)."""
    return NETS.module(NAMES[net], (latent,), IMAGE)


def mean_log_var(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the posterior's mean and log-variance, (N, D) each, as Diabolo reads them."""
    mean, scale = raw.chunk(2, dim=-1)
    return mean, 2 * above(scale, FLOOR)


def bce(probability: Tensor, x: Tensor) -> Tensor:
    """Returns the binary cross-entropy of each image, summed over pixels, (N,)."""
    loss = F.binary_cross_entropy(probability.flatten(1), x.flatten(1), reduction="none")
    return loss.sum(-1)


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """Returns KL(q || N(0, 1)) of each datum, (N,)."""
    return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(-1)


def load(task: dict[str, Any], enc: nn.Module, dec: nn.Module) -> None:
    """Puts the trained weights into a pair of networks, if the task has some."""
    if "weights" in task:
        found = torch.load(task["weights"], weights_only=True)
        enc.load_state_dict(found["encoder"])
        dec.load_state_dict(found["decoder"])
