"""The loop of PyTorch's own VAE example: a DataLoader, summed cross-entropy, Adam as it comes.

Our own writing of what https://github.com/pytorch/examples/tree/main/vae does, without
torchvision: images lie in memory as float32, so that its per-item decoding is not charged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from . import nets
from .work import Clock, images

__all__ = ["VAE", "loader", "loss", "step", "train"]


class VAE(nn.Module):
    """The example's module, with the networks of this benchmark."""

    def __init__(self, net: str) -> None:
        super().__init__()
        self.encoder, self.decoder = nets.encoder(net), nets.decoder(net)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns pixel probabilities, the posterior's mean and its log-variance."""
        mean, log_var = nets.mean_log_var(self.encoder(x))
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        return torch.sigmoid(self.decoder(z)), mean, log_var


def loss(model: VAE, x: Tensor) -> Tensor:
    """Returns the negative ELBO, summed over the batch."""
    probability, mean, log_var = model(x)
    return (nets.bce(probability, x) + nets.kl(mean, log_var)).sum()


def loader(task: dict[str, Any]) -> DataLoader:
    """Returns the shuffled batches that the example and Lightning read."""
    x = images(task["data"], "train", task["n"])
    return DataLoader(TensorDataset(x), batch_size=task["batch"], shuffle=True)


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Trains; each epoch is timed."""
    batches = loader(task)
    model = VAE(task["net"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    clock = Clock()
    for _ in range(task["epochs"]):
        total = 0.0
        for (x,) in batches:
            optimizer.zero_grad()
            value = loss(model, x)
            value.backward()
            total += value.item()
            optimizer.step()
        clock.end()
    return {
        **clock.result(task["n"], task["n"] // task["batch"]),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def step(task: dict[str, Any]) -> dict[str, Any]:
    """Takes one step of training."""
    return train(task)
