r"""How good the samples of a model are, beside data that it was not trained on.

Draws are compared with x, and means of p(x | z) with what x is a draw of: grey values where x are
bits that are drawn of them. Of a conditional model the samples have the conditions of the data.

Shapes: N data and as many samples, E event shape of x, R shape of what is read of x, F features.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ... import ranks
from ...data import Data
from ...data.decode import Expected
from ...errors import DiaboloError, whole
from ...model import LatentModel
from ..drawing import drawn, reconstructed
from ..passes import Precision, Progress, check_data, quiet, shuffled, some
from ..quantity import Quantity
from .classifier import is_image
from .comparison import BLOCKS, Comparison, ratio
from .features import FeatureKind, Features, fit_features, read, view_of
from .frechet import frechet_distance
from .kernel import kernel_distance
from .manifolds import Manifolds, manifolds
from .nearest import Nearest, nearest_training
from .sharpness import sharpness
from .two_sample import TwoSampleTest, two_sample_test

__all__ = ["SampleQuality", "sample_quality"]

MOST = 10_000  # data and samples that are compared
ASKED = 2_000  # of them, those whose nearest training data are looked for
ROWS = 2_000  # training data at once
TRAINED = 60_000  # training data that features are fitted to
BY_CHANCE = 1e-4  # the probability of copies under one law, below which a model is said to copy


@dataclass(frozen=True, eq=False)
class SampleQuality:
    """How good samples are, each number beside what is expected of the law of the data.

    Arguments:
        n: The number N of data, and of samples.
        seed: The seed of the samples, of networks and of blocks, and of which data are compared.
        mean: Whether the samples are means of p(x | z).
        features: In which numbers they are compared.
        frechet: The squared Frechet distance of samples from data.
        training: That of training data from data; None without them.
        kernel: The squared kernel distance.
        manifolds: Precision, recall, density and coverage.
        two_sample: Whether a classifier tells samples from data.
        sharpness: That of samples, divided by that of data; None where x is no image.
        reconstructions: That of reconstructions, divided by that of data; None likewise.
        nearest: How near samples are to the training data; None without them.
        seconds: How long it took.
        notes: Sentences on what is missing and what to be careful with.
    """

    n: int
    seed: int
    mean: bool
    features: str
    frechet: Comparison
    training: Comparison | None
    kernel: Comparison
    manifolds: Manifolds
    two_sample: TwoSampleTest
    sharpness: Comparison | None
    reconstructions: Comparison | None
    nearest: Nearest | None
    seconds: float
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Quantity]:
        """Returns the table."""
        out = [self.frechet.row("Frechet distance")]
        if self.training is not None:
            out.append(self.training.row("  of training data"))
        out.append(self.kernel.row("kernel distance"))
        out += self.manifolds.rows()
        out += self.two_sample.rows()
        named = [self.features, *["the same features"] * len(out)]
        out = [q._replace(how=f"{q.how}, in {f}") for q, f in zip(out, named, strict=False)]
        if self.sharpness is not None:
            out.append(self.sharpness.row("sharpness"))
        if self.reconstructions is not None:
            out.append(self.reconstructions.row("  of reconstructions"))
        if self.nearest is not None:
            out += self.nearest.rows()
        return out

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dictionaries."""
        out: dict[str, Any] = {
            "n": self.n,
            "seed": self.seed,
            "samples": "means" if self.mean else "draws",
            "features": self.features,
            "frechet": self.frechet.to_json(),
            "kernel": self.kernel.to_json(),
            **self.manifolds.to_json(),
            "two_sample": self.two_sample.to_json(),
        }
        for name in ("training", "sharpness", "reconstructions", "nearest"):
            found = getattr(self, name)
            if found is not None:
                out["frechet_training" if name == "training" else name] = found.to_json()
        return out | {"seconds": round(self.seconds, 1), "notes": list(self.notes)}


def sample_quality(
    model: LatentModel,
    data: Data,
    train: Data | None = None,
    *,
    mean: bool = False,
    features: FeatureKind | None = None,
    neighbours: int = 5,
    seed: int = 0,
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> SampleQuality:
    """Returns how good the samples of a model are, as many as there are data, 10,000 at most.

    Of several processes each does it all.

    Arguments:
        model: A model with a prior.
        data: Data that it was not trained on, 40 at least; for a conditional model, with the
            conditions that the samples are to have.
        train: Its training data, which tell copies; None, or data with entries missing, leaves
            these out, and fits the features to `data`.
        mean: Compare means of p(x | z) instead of draws.
        features: What is compared: features of a `classifier` that is trained on the labels of the
            training data, of a `random` network, or principal components, `pca`. None takes the
            classifier where there are labels, else the random network for images and `pca` for
            the rest.
        neighbours: Which neighbour gives the balls of precision and recall their radius.
        seed: Keys samples, networks, blocks, and which data are compared.
        precision: The type in which the model's networks compute.
        progress: Called with the part that is done.

    Raises:
        DiaboloError: If the model has no prior, entries of the data are missing, or there are too
            few data.
    """
    began = time.perf_counter()
    tell = progress or (lambda done: None)
    seed, neighbours = whole("seed", seed), whole("neighbours", neighbours, least=1)
    _check(model, data, max(2 * BLOCKS, neighbours + 1))
    notes = _parted(data, train)
    data = some(data, MOST, seed)
    train = None if train is None or train.mask is not None else train
    n, like = len(data), next(model.parameters())
    c = model.given(data.c)
    with ranks.alone(), quiet(model):
        y = drawn(
            model, n, None if c is None else c.to(like), mean=mean, seed=seed, precision=precision
        )
        r = None
        if is_image(data.event):
            given = replace(data, c=c)
            r = reconstructed(model, given, mean=mean, seed=seed, precision=precision)
    tell(0.1)
    shown = _expected(data) if mean else data
    x = shown.batch(torch.arange(n)).x.cpu()
    y = y.to(x.dtype)
    notes.insert(0, f"The {n} samples are {_kind(mean)} p(x|z), keyed by seed {seed}.")
    notes += _warnings(shown, mean)
    if c is not None:
        notes.append(
            "Each sample has the condition of a datum, and is independent of it only given that: "
            "the two-sample p holds, but errors, and what is expected of one law, are told as if "
            "each had a condition of its own."
        )
    sharp = None if r is None else _sharpness(x, y, r, mean)

    learned = _expected(train) if mean and train is not None else train
    view = view_of(shown if learned is None else learned).cpu()
    xs, ys = read(view, x), read(view, y)
    with ranks.alone():
        found = _features(features, learned, view, (xs, shown.labels), seed, like.device, tell)
    fx, fy = found.features(xs), found.features(ys)
    training = None
    if found.some is not None and len(found.some) >= 2 * BLOCKS:
        training = frechet_distance(fx, found.features(found.some[:n]), seed=seed)
    tell(0.6)
    near = manifolds(fx, fy, neighbours=neighbours)
    tell(0.75)
    distances = frechet_distance(fx, fy, seed=seed), kernel_distance(fx, fy, seed=seed)
    told = two_sample_test(fx, fy, seed=seed)
    tell(0.9)
    nearest = None
    if learned is not None:
        near_to = shuffled(data, seed)[:ASKED].sort().values  # with the conditions of the data
        ends = xs[near_to].flatten(1), ys[near_to].flatten(1)
        nearest = nearest_training(*ends, ((p.flatten(1), i) for p, i in _parts(learned, view)))
        pairs = (p._replace(sample=int(near_to[p.sample])) for p in nearest.pairs)
        nearest = replace(nearest, pairs=tuple(pairs))
        notes += _copies(nearest)
    else:
        notes.append("There are no training data here, so that copies of them are not seen.")
    tell(1.0)
    seconds = time.perf_counter() - began
    notes.append(f"They are compared in {found.features.name}; it took {seconds:.0f} s.")
    return SampleQuality(
        n=n,
        seed=seed,
        mean=mean,
        features=found.features.name,
        frechet=distances[0],
        training=training,
        kernel=distances[1],
        manifolds=near,
        two_sample=told,
        sharpness=None if sharp is None else sharp[0],
        reconstructions=None if sharp is None else sharp[1],
        nearest=nearest,
        seconds=seconds,
        notes=tuple(notes),
    )


class _Found(NamedTuple):
    """Features, and some of the training data in an order of chance as they read them."""

    features: Features
    some: Tensor | None


def _check(model: LatentModel, data: Data, least: int) -> None:
    """Checks that samples can be compared with data.

    Raises:
        DiaboloError: If there is nothing to draw from, or nothing to compare it with.
    """
    if not model.generates:
        raise DiaboloError(
            "An autoencoder has no samples, since nothing says which codes are likely: fit a "
            "density to its codes, run.refit(prior='mixture'), or use the recipe 'vae'."
        )
    check_data(model, data)
    if data.mask is not None:
        raise DiaboloError(
            "Samples are compared with whole data, but some entries of these are missing: leave "
            "those data out."
        )
    if len(data) < least:
        raise DiaboloError(f"Samples are compared with {least} data at least, not {len(data)}.")


def _parted(data: Data, train: Data | None) -> list[str]:
    """Sentences on data that are left out."""
    out = []
    if len(data) > MOST:
        out.append(f"Of {len(data)} data {MOST} are compared, drawn by row.")
    if len(data) > ASKED and train is not None and train.mask is None:
        out.append(f"Copies are looked for among {ASKED} of the samples, drawn by row.")
    if train is not None and train.mask is not None:
        out.append("Entries of the training data are missing, so that these are left out.")
    elif train is not None and len(train) > TRAINED:
        out.append(f"Features are fitted to {TRAINED} of {len(train)} training data, at random.")
    return out


def _expected(data: Data) -> Data:
    """Returns data with the mean of what is drawn from them in place of a draw."""
    return replace(data, decoder=Expected(data.decoder)) if data.decoder.random else data


def _kind(mean: bool) -> str:
    return "means of" if mean else "draws from"


def _warnings(data: Data, mean: bool) -> list[str]:
    """Sentences on what the comparison does not tell."""
    if not is_image(data.event):
        return ["Sharpness is of images, which these data are not."]
    if not mean:
        return ["Draws hold the noise of p(x|z), which counts as sharp: its means show the blur."]
    if data.support == "binary" and not isinstance(data.decoder, Expected):
        return [
            "The data are bits and means are grey, so that the means of no model have the law of "
            "the data: compare draws."
        ]
    return []


def _copies(found: Nearest) -> list[str]:
    """A sentence where there are more copies than chance explains."""
    if found.p > BY_CHANCE:
        return []
    return [
        f"{found.copies} of {found.ratio.m} samples are near copies of training data, where "
        f"{found.expected:.3g} are expected: the model has learned some of them by heart."
    ]


def _sharpness(x: Tensor, y: Tensor, r: Tensor, mean: bool) -> tuple[Comparison, Comparison]:
    """Returns the sharpness of samples and of reconstructions, as ratios to that of data."""
    own, kind = sharpness(x), f"variance of the Laplacian of {_kind(mean)} p(x|z)"
    return (
        ratio(sharpness(y), own, kind=f"{kind}, z from the prior, divided by that of data"),
        ratio(
            sharpness(r), own, kind=f"{kind}, z from q(z|x), divided by that of data", paired=True
        ),
    )


def _parts(data: Data, view: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields what is read of some data after the other, (B, *R), and their row indices (B,)."""
    for batch in data.batches(ROWS):
        yield read(view, batch.x.cpu()), batch.index.cpu()


def _features(
    kind: FeatureKind | None,
    train: Data | None,
    view: nn.Module,
    held: tuple[Tensor, Tensor | None],
    seed: int,
    device: torch.device,
    tell: Progress,
) -> _Found:
    """Returns the features to compare in, fitted to training data or else to the others.

    Raises:
        DiaboloError: If a classifier is asked for and there are no labels, or the kind is unknown.
    """
    seen, labels, classes = held[0], None, ()
    if train is not None:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        train = train.take(order[:TRAINED])
        seen = torch.cat([part for part, _ in _parts(train, view)])
        labels, classes = train.labels, train.classes
    labelled = labels is not None and len(classes) > 1
    if kind is None:
        images = is_image(tuple(seen.shape[1:]))
        kind = "classifier" if labelled else "random" if images else "pca"
    chosen, known, judged = seen, None, None
    if kind == "classifier" and labelled:
        own = labels.cpu() >= 0  # type: ignore[union-attr]
        chosen, known = seen[own], labels.cpu()[own]  # type: ignore[index]
        if held[1] is not None and bool((there := held[1].cpu() >= 0).any()):
            judged = held[0][there], held[1].cpu()[there]
    made = fit_features(
        kind,
        chosen,
        known,
        len(classes),
        judged,
        seed=seed,
        device=device.type,
        on_part=lambda part: tell(0.1 + 0.45 * part),
    )
    return _Found(made, None if train is None else seen)
