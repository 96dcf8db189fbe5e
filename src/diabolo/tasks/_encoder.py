"""What a classifier reads of a fitted model's encoder, and classifiers that grow from one.

A classifier is a conditional model without a latent, as in `evaluate.samples.classifier`: the one
training loop fits it.

Shapes: N data, R shape of what an encoder reads of one, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..config import TrainConfig
from ..data import Data
from ..data.decode import Binarize, Expected
from ..errors import DiaboloError
from ..evaluate.drawing import rows_of
from ..evaluate.samples.classifier import reader
from ..latents import Amortized
from ..model import Conditional, LatentModel, Recipe
from ..noise import MEAN
from ..objectives import elbo
from ..train import fit

__all__ = ["Grown", "features_of", "grown", "kinds_of", "read", "times", "trained"]

EACH = 10  # steps of an epoch at least: the loop looks at the data held out after each

FEATURES = ("code", "hidden")


def kinds_of(model: LatentModel) -> tuple[str, ...]:
    """Returns the kinds of features that an encoder has: `code`, and `hidden` if it has a head."""
    return FEATURES if _headed(model) is not None else FEATURES[:1]


def _headed(model: LatentModel) -> nn.Module | None:
    """Returns the encoder's network if its last layer is called `head`, as in all `nets`."""
    latent = model.latent
    if not (isinstance(latent, Amortized) and isinstance(latent.posterior, Conditional)):
        return None
    net = latent.posterior.net
    return net if "head" in dict(net.named_children()) else None


class Encoder(nn.Module):
    """Features (N, F) of what is read of x, (N, *R).

    Arguments:
        model: The model, whose encoder is shared.
        kind: `code`, the posterior's means, those that are names of values as a one of many; or
            `hidden`, what its network's last layer reads.
    """

    def __init__(self, model: LatentModel, kind: str) -> None:
        super().__init__()
        self.kind, self.levels = kind, model.levels
        net = _headed(model) if kind == "hidden" else None
        if kind == "hidden":
            if net is None:
                raise DiaboloError(
                    "This model's encoder has no network with a last layer called 'head', whose "
                    "input were its hidden features: use features='code'."
                )
            self.net = net
        else:
            self.latent = model.latent

    def forward(self, seen: Tensor) -> Tensor:
        """Returns the features, with gradients."""
        if self.kind == "hidden":
            return _before_head(self.net, seen)
        draws = self.latent(seen, None, 1, MEAN).draws
        z = torch.cat([d.z[0].flatten(1) for d in draws], dim=1)
        parts = [
            z[:, i : i + 1] if not n else nn.functional.one_hot(z[:, i].long(), n).to(z.dtype)
            for i, n in enumerate(self.levels)
        ]
        return torch.cat(parts, dim=1)


def _before_head(net: nn.Module, seen: Tensor) -> Tensor:
    """Returns what the last layer of a network reads, (N, F)."""
    caught: list[Tensor] = []
    head = dict(net.named_children())["head"]

    def catch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        caught.append(given[0])

    hook = head.register_forward_pre_hook(catch)
    try:
        net(seen, None)
    finally:
        hook.remove()
    return caught[0].flatten(1)


def read(model: LatentModel, data: Data) -> Iterator[Tensor]:
    """Yields what the encoder reads of some data after the other, (n, *R).

    What bits are drawn of is read as it is, grey values: a classifier needs no noise.
    """
    device = next(model.parameters()).device
    if isinstance(data.decoder, Binarize):
        data = replace(data, decoder=Expected(data.decoder))
    with torch.no_grad():
        for batch in data.to(device).batches(rows_of(model, device)):
            yield model.view(batch.x, batch.mask, MEAN)


@torch.no_grad()
def features_of(model: LatentModel, reading: LatentModel, data: Data, kind: str) -> Tensor:
    """Returns the features (N, F) of data, float64 on the CPU.

    Arguments:
        model: Whose encoder finds them.
        reading: Whose view reads the data.
        data: The data.
        kind: As in `Encoder`.
    """
    encoder = Encoder(model, kind)
    return torch.cat([encoder(seen).double().cpu() for seen in read(reading, data)])


class Grown(nn.Module):
    """Logits (N, C) of what is read of x: an encoder, its features standardised, and a linear head.

    Arguments:
        encoder: What finds features.
        loc: What is subtracted from them, (F,).
        scale: What they are divided by after that, (F,).
        classes: C.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, loc: Tensor, scale: Tensor, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)
        self.head = nn.Linear(len(loc), classes)

    def forward(self, seen: Tensor) -> Tensor:
        """Returns logits, with gradients."""
        return self.head((self.encoder(seen) - self.loc) / self.scale)


def grown(
    model: LatentModel, kind: str, loc: Tensor, scale: Tensor, classes: int, seed: int
) -> Grown:
    """Returns a classifier on a model's encoder, with a head of its own that is drawn by the seed.

    Raises:
        DiaboloError: If there are no such features.
    """
    like = next(model.parameters())
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return Grown(Encoder(model, kind), loc.to(like), scale.to(like), classes).to(like)


def times(count: int, size: int) -> int:
    """Returns how often data are in one epoch, so that it has ten steps of a size or more."""
    return max(1, EACH * size // count)


def trained(net: Grown, seen: Tensor, codes: Tensor, classes: int, config: TrainConfig) -> None:
    """Trains a classifier on all of its few data; the weights of the best fit to them are kept.

    Arguments:
        net: The classifier.
        seen: What is read of the data, (N, *R).
        codes: Their classes, (N,).
        classes: C.
        config: How to train.
    """
    learned = list(net.parameters())
    with torch.enable_grad():
        for p in learned:
            p.requires_grad_(True)
        found = torch.autograd.grad(net(seen[:2]).sum(), learned, allow_unused=True)
    for p, gradient in zip(learned, found, strict=True):
        p.requires_grad_(gradient is not None)  # priors and variances have no part in it
    data = Data(
        codes[:, None].to(seen.dtype), support="category", levels=classes, c=seen.flatten(1)
    )
    model = reader(net, tuple(seen.shape[1:]), classes)
    often = data.take(torch.arange(len(data)).repeat(times(len(data), config.batch_size)))
    fit(Recipe(model, elbo), often, data, config)
