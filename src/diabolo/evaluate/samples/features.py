"""In which numbers samples are compared with data, and what these numbers are called.

All of them are moved and scaled, as one, so that over the training data their mean is 0 and the
mean of their variances is 1.

Shapes: N data, R shape of what is read of one, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from ...data import Data
from ...errors import DiaboloError, unknown
from ...noise import MEAN
from ...views import View, default_view
from .classifier import WIDTH, Body, classifier

__all__ = ["FeatureKind", "Features", "fit_features", "read", "view_of"]

FeatureKind = Literal["classifier", "random", "pca"]
KINDS = ("classifier", "random", "pca")
CHUNK = 1000  # data at once


@dataclass(frozen=True)
class Features:
    """Numbers that samples are compared in.

    Arguments:
        name: What they are, in words.
        find: Maps what is read of x, (N, *R), to numbers (N, F).
        accuracy: How many held-out data the classifier tells right, where they are of one.
        loc: Their mean over the training data, (F,).
        scale: The root of the mean of their variances, ().
    """

    name: str
    find: Callable[[Tensor], Tensor] = field(repr=False)
    accuracy: float | None = None
    loc: Tensor | float = field(default=0.0, repr=False)
    scale: Tensor | float = field(default=1.0, repr=False)

    @torch.no_grad()
    def __call__(self, seen: Tensor) -> Tensor:
        """Returns (N, F), float64, from seen (N, *R)."""
        found = torch.cat([self.find(part).cpu().double() for part in seen.split(CHUNK)])
        return (found - self.loc) / self.scale

    def fitted(self, seen: Tensor) -> Features:
        """Returns features that are moved and scaled by what they are of these data (N, *R)."""
        found = self(seen)
        scale = found.var(0).mean().sqrt()
        return replace(self, loc=found.mean(0), scale=torch.where(scale > 0, scale, 1.0))


def view_of(data: Data) -> nn.Module:
    """Returns what is read of data: columns in their own units, codes as channels, images whole."""
    table = len(data.event) != 3
    spec = replace(
        data.spec(standardize=table and data.support in ("real", "mixed")), missing=False
    )
    if table or data.support != "real":
        return default_view(spec)
    mean, variance = data.moments()  # one scale for all pixels, so that they stay an image
    scale = (variance.mean() + mean.var(correction=0)).sqrt()
    return View(data.event, loc=mean.mean(), scale=torch.where(scale > 0, scale, 1.0))


@torch.no_grad()
def read(view: nn.Module, x: Tensor) -> Tensor:
    """Returns what a view reads of x (N, *E), (N, *R)."""
    return torch.cat([view(part, None, MEAN) for part in x.split(CHUNK)])


def fit_features(
    kind: FeatureKind,
    seen: Tensor,
    labels: Tensor | None,
    classes: int,
    held: tuple[Tensor, Tensor] | None,
    *,
    seed: int,
    device: str,
    on_part: Callable[[float], object] | None = None,
) -> Features:
    """Returns features that were fitted to the training data.

    Arguments:
        kind: Of a `classifier` of the labels, of a `random` network, or principal components.
        seen: What is read of the training data, (N, *R).
        labels: Their labels 0 .. C - 1, (N,), for a classifier.
        classes: The number C of classes.
        held: Other data (N, *R) with labels, that tell the classifier's accuracy.
        seed: The seed of the network.
        device: Where the classifier computes.
        on_part: Called with the part of the classifier's training that is done.

    Raises:
        DiaboloError: If there is no such kind, or there are no labels for a classifier.
    """
    if kind not in KINDS:
        raise unknown("kind of features", kind, KINDS)
    shape = tuple(seen.shape[1:])
    if kind == "pca":
        return _components(seen).fitted(seen[: 10 * CHUNK])
    what = "convolutional" if len(shape) == 3 and min(shape[1:]) >= 4 else "dense"
    if kind == "random":
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            body = Body(shape)
        name = f"{WIDTH} features of a random {what} network, seed {seed}"
        return Features(name, body).fitted(seen[: 10 * CHUNK])
    if labels is None:
        raise DiaboloError(
            "Features of a classifier need training data with labels of two classes or more: use "
            "features='random' or 'pca'."
        )
    made = classifier(seen, labels, classes, seed=seed, device=device, on_part=on_part)
    accuracy = None if held is None else made.accuracy(*held)
    told = "" if accuracy is None else f" with {accuracy:.1%} accuracy"
    name = f"{WIDTH} features of a {what} classifier{told}, seed {seed}"
    body = made.body
    like = next(body.parameters())
    return Features(name, lambda x: body(x.to(like)), accuracy).fitted(seen[: 10 * CHUNK])


def _components(seen: Tensor) -> Features:
    """The principal components of data, all of them where there are few."""
    width, n = prod(seen.shape[1:]), len(seen)
    mean = seen.flatten(1).mean(0, dtype=torch.float64)
    square = torch.zeros(width, width, dtype=torch.float64)
    for part in seen.flatten(1).split(CHUNK):
        square.addmm_((part - mean).T, part - mean)
    values, vectors = torch.linalg.eigh(square / max(1, n - 1))
    if width <= WIDTH:
        return Features(f"{width} values", lambda x: x.flatten(1).double() - mean)
    kept = float(values[-WIDTH:].sum() / values.sum()) if float(values.sum()) else 1.0
    name = f"{WIDTH} principal components ({kept:.1%} of the variance)"
    return Features(name, lambda x: (x.flatten(1).double() - mean) @ vectors[:, -WIDTH:])
