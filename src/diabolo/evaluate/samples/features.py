"""In which numbers samples are compared with data, and what these numbers are called.

All of them are moved and scaled, as one, so that over the training data their mean is 0 and the
mean of their variances is 1.

Shapes: N data, R shape of what is read of one, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from ...data import Data
from ...errors import DiaboloError, unknown
from ...noise import MEAN
from ...views import View, default_view
from .classifier import WIDTH, Body, classifier, is_image

__all__ = ["FeatureKind", "Features", "fit_features", "read", "view_of"]

FeatureKind = Literal["classifier", "random", "pca"]
KINDS = ("classifier", "random", "pca")
CHUNK = 1000  # data at once
WHOLE = 4096  # numbers of a datum whose covariance is held and solved whole: 128 MiB


@dataclass(frozen=True)
class Features:
    """Numbers that samples are compared in.

    Arguments:
        name: What they are, in words.
        find: Maps what is read of x, (N, *R), to numbers (N, F).
        loc: Their mean over the training data, (F,).
        scale: The root of the mean of their variances, ().
    """

    name: str
    find: Callable[[Tensor], Tensor] = field(repr=False)
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
    if table or data.support != "real":
        standardize = table and data.support in ("real", "mixed")
        return default_view(replace(data.spec(standardize=standardize), missing=False))
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
        return _components(seen, seed).fitted(seen[: 10 * CHUNK])
    what = "convolutional" if is_image(shape) else "dense"
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
    told = ""
    if held is not None:
        told = f" with {made.accuracy(*held):.1%} accuracy on {len(held[1])} data"
    name = f"{WIDTH} features of a {what} classifier{told}, seed {seed}"
    body = made.body
    like = next(body.parameters())
    return Features(name, lambda x: body(x.to(like))).fitted(seen[: 10 * CHUNK])


def _components(seen: Tensor, seed: int) -> Features:
    """The principal components of data, all of them where there are few."""
    width = prod(seen.shape[1:])
    mean = seen.flatten(1).mean(0, dtype=torch.float64)
    if width <= WIDTH:
        return Features(f"{width} values", lambda x: x.flatten(1).double() - mean)
    vectors, kept = (_exact if width <= WHOLE else partial(_sketched, seed=seed))(seen, mean)
    name = f"{vectors.shape[1]} principal components ({kept:.1%} of the variance)"
    return Features(name, lambda x: (x.flatten(1).double() - mean) @ vectors)


def _exact(seen: Tensor, mean: Tensor) -> tuple[Tensor, float]:
    """Returns the first components (D, F) from the covariance, and their part of the variance."""
    square = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for part in seen.flatten(1).split(CHUNK):
        square.addmm_((part - mean).T, part - mean)
    values, vectors = torch.linalg.eigh(square / max(1, len(seen) - 1))
    whole = float(values.sum())
    return vectors[:, -WIDTH:], float(values[-WIDTH:].sum()) / whole if whole else 1.0


def _sketched(seen: Tensor, mean: Tensor, *, seed: int) -> tuple[Tensor, float]:
    """Returns the same of wide data from random projections of the first 10,000 of them.

    References:
        | Finding Structure with Randomness (Halko, Martinsson & Tropp, 2011), algorithm 5.1
        | https://arxiv.org/abs/0909.4061
    """
    few = seen[: 10 * CHUNK].flatten(1) - mean.to(seen.dtype)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        q = min(2 * WIDTH, *few.shape)  # twice as many as are kept, so that these are near exact
        _, values, vectors = torch.pca_lowrank(few, q=q, center=False, niter=4)
    whole = float(few.square().sum(dtype=torch.float64))
    kept = float(values[:WIDTH].double().square().sum()) / whole if whole else 1.0
    return vectors[:, :WIDTH].double(), min(kept, 1.0)
