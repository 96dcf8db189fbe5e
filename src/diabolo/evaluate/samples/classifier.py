r"""A classifier of the training data, whose last hidden layer tells what images are alike.

It is a conditional model without a latent, :math:`p(y \mid x)` with the image as the condition,
and so the one training loop fits it: its bound is :math:`\log p(y \mid x)` itself.

Shapes: N data, R shape of what is read of one, C classes, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2, prod

import torch
from torch import Tensor, nn

from ...config import TrainConfig
from ...data import Data
from ...distributions.categorical import CategoricalFamily
from ...model import Conditional, Draw, Inferred, LatentModel, Recipe
from ...nets import NETS
from ...noise import FRESH, Noise
from ...objectives import elbo
from ...train import Row, fit
from ...views import View

__all__ = ["Body", "Classifier", "classifier", "is_image", "reader"]

WIDTH = 64  # features F, few enough for a covariance from some hundred data
STEPS, BATCH = 2000, 128  # of the training: four epochs of 60,000 images
HELD = 0.1  # the part of the training data that selects the weights, 2000 at most


def is_image(shape: tuple[int, ...]) -> bool:
    """Returns whether data of a shape, (C, H, W) if so, are images with room for a convolution."""
    return len(shape) == 3 and min(shape[1:]) >= 4


class Body(nn.Module):
    """Features (N, F), not negative, of what is read of x, (N, *R).

    Arguments:
        shape: R; a convolutional network reads images, a perceptron the rest.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        if is_image(shape):
            halvings = max(2, ceil(log2(max(shape[1:]) / 8)))
            channels = tuple(16 * 2 ** min(i, 2) for i in range(halvings))
            call = f"conv(channels={channels}, hidden=128, activation=relu)"
        else:
            call = "mlp(hidden=(128,), activation=relu)"
        self.shape, self.net = shape, NETS.build(call, shape, (WIDTH,))

    def forward(self, seen: Tensor) -> Tensor:
        """Returns features (N, F) of seen (N, *R)."""
        return torch.relu(self.net(seen))


class Reader(nn.Module):
    """The logits of classes, (N, C), of a condition (N, prod R) that is what was read of x.

    Arguments:
        net: Maps (N, *R) to logits (N, C).
        shape: R.
    """

    def __init__(self, net: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.shape = net, shape

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Returns logits from the condition; h says nothing."""
        return self.net(c.unflatten(1, self.shape))


class Nothing(nn.Module):
    """A latent without elements, which costs nothing; its code is a zero, which tells nothing."""

    groups, deterministic = (0,), False

    def forward(
        self, x: Tensor, c: Tensor | None = None, k: int = 1, noise: Noise = FRESH
    ) -> Inferred:
        """Returns the same code for each datum, K times."""
        z, nil = x.new_zeros(k, len(x), 0), x.new_zeros(k, len(x))
        return Inferred(nil.unsqueeze(2), (Draw(z, nil, nil),), x.new_zeros(()))

    def sample(self, n: int, c: Tensor | None = None, noise: Noise = FRESH) -> Tensor:
        """Returns the code n times."""
        return torch.zeros(n, 1)

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Returns the code (n, 1) of no values (n, 0)."""
        return z.new_zeros(len(z), 1)


def reader(net: nn.Module, shape: tuple[int, ...], classes: int) -> LatentModel:
    """Returns p(y | x), y (N, 1) one of C classes, with what was read of x as the condition.

    Arguments:
        net: Maps (N, *R) to logits (N, C).
        shape: R.
        classes: C.
    """
    likelihood = Conditional(Reader(net, shape), CategoricalFamily(levels=classes), (1,))
    return LatentModel(View((1,)), Nothing(), likelihood, condition=prod(shape))


class Classifier:
    """A trained classifier.

    Arguments:
        body: What finds features.
        model: p(y | x), with x as the condition.
    """

    def __init__(self, body: Body, model: LatentModel) -> None:
        self.body, self.model = body, model

    @torch.no_grad()
    def accuracy(self, seen: Tensor, labels: Tensor) -> float:
        """Returns the part of data (N, *R) whose most probable class is their label (N,)."""
        device = next(self.body.parameters()).device
        found = [
            self.model.likelihood.net(None, part.flatten(1).to(device)).argmax(1).cpu()
            for part in seen.split(1000)
        ]
        return float((torch.cat(found) == labels.cpu()).double().mean())


def classifier(
    seen: Tensor,
    labels: Tensor,
    classes: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    on_part: Callable[[float], object] | None = None,
) -> Classifier:
    """Returns a classifier that was trained on data for some 2000 steps.

    Arguments:
        seen: What is read of the training data, (N, *R).
        labels: Their labels 0 .. C - 1, (N,).
        classes: The number C of classes.
        seed: The seed of weights, order and of the data held out to select the weights.
        device: Where it computes: `cpu`, `cuda` or `mps`.
        on_part: Called with the part that is done.
    """
    n, shape = len(seen), tuple(seen.shape[1:])
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        body = Body(shape)
        model = reader(nn.Sequential(body, nn.Linear(WIDTH, classes)), shape, classes)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held = max(1, min(2000, int(HELD * n)))
    data = Data(
        labels[:, None].to(torch.get_default_dtype()),
        support="category",
        levels=classes,
        c=seen.flatten(1).to(torch.get_default_dtype()),
    )
    config = TrainConfig(
        epochs=ceil(STEPS * BATCH / max(BATCH, n - held)),
        batch_size=BATCH,
        learning_rate=2e-3,
        schedule="cosine",
        device=device,  # type: ignore[arg-type]
        precision="float32",
        compile="off",
        seed=seed,
    )

    def done(row: Row) -> None:
        if on_part is not None:
            on_part(row.epoch / config.epochs)

    learned, selecting = data.take(order[held:]), data.take(order[:held])
    fit(Recipe(model, elbo), learned, selecting, config, on_epoch=done)
    return Classifier(body, model)
