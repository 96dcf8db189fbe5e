r"""A classifier from few labels: a model that has seen many data without labels lends its encoder.

A probe is a logistic regression on standardised features of the encoder. Fine-tuning goes on from
the probe with all weights of the encoder, so that it begins as good as the probe is.

References:
    | Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014), section 2.1
    | https://arxiv.org/abs/1406.5298
    | Fine-Tuning can Distort Pretrained Features (Kumar et al., 2022)
    | https://arxiv.org/abs/2202.10054

Shapes: n rows, S the layout of one datum as the user gave it, C classes, F features.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data import Data
from ..data.conditions import label_column, missing
from ..errors import DiaboloError, DiaboloWarning, unknown, whole
from ..noise import mix_seed
from ..recipes import RECIPES
from ..run import Run
from ..run.asked import as_data
from ._classes import Classes, classes_of, telling
from ._encoder import Grown, features_of, grown, kinds_of, read, times, trained
from ._kept import keep, kept

__all__ = ["Classifier", "Features", "How", "classifier"]

How = Literal["probe", "finetune", "scratch"]
Features = Literal["code", "hidden"]
HOWS = ("probe", "finetune", "scratch")
STRENGTHS = tuple(10.0**p for p in range(-4, 2))  # of C, the inverse of what weights cost
FOLDS = 5
ALONE = 0.1  # C where a class has one label and nothing can be held out
ENOUGH, AGAIN = 10, 3  # labels, in all and of a class, from which a column is no copy by chance
STEPS = 300  # of fine-tuning
BATCH = 100
RATES = {"finetune": 3e-4, "scratch": 1e-3}  # of learning


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier that reads data as a run does.

    Arguments:
        run: Whose encoder and schema it has.
        how: `probe`, `finetune` or `scratch`.
        features: What it reads of the encoder: `code` or `hidden`.
        strength: The C of the probe; None without one.
        held_out: The part of the labels that the probe tells right in cross-validation; None where
            a class has one label.
        classes: The classes, in the order of the probabilities.
        counts: How many labels of each class it learned from.
        values: The user's own labels, (C,).
        net: Logits of what the encoder reads.
    """

    run: Run
    how: How
    features: Features
    strength: float | None
    held_out: float | None
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    values: NDArray[Any]
    net: Grown

    def __repr__(self) -> str:
        told = f"{self.how} on {self.features}, {sum(self.counts)} labels"
        return f"Classifier({told} of {', '.join(self.classes)})"

    def predict_proba(self, x: Any) -> NDArray[np.float64]:
        """Returns the probability of each class, (n, C).

        Arguments:
            x: Data (n, *S) as those that the run was fitted to: an array, a frame, a path.

        Raises:
            DiaboloError: If they are not like those.
        """
        data = as_data(self.run, x, None, None)
        with torch.no_grad():
            parts = [
                self.net(seen).double().softmax(1).cpu() for seen in read(self.run.model, data)
            ]
        return torch.cat(parts).numpy()

    def predict(self, x: Any) -> NDArray[Any]:
        """Returns the most probable class of each datum, as the labels were given, (n,)."""
        return self.values[self.predict_proba(x).argmax(1)]

    def save(self, path: str | Path) -> Path:
        """Writes the classifier into a file, without the run, and returns the file.

        Raises:
            DiaboloError: If it cannot be written.
        """
        keep(self, Path(path))
        return Path(path)

    @staticmethod
    def load(path: str | Path, run: Run) -> Classifier:
        """Returns the classifier in a file that `save` wrote.

        Arguments:
            path: The file.
            run: The run that it was made with.

        Raises:
            DiaboloError: If the file is no such one, or belongs to another run.
        """
        net, facts = kept(Path(path), run)
        return Classifier(run=run, net=net, **facts)


def classifier(
    run: Run,
    x: Any,
    labels: Any,
    *,
    how: How = "probe",
    features: Features | None = None,
    seed: int = 0,
) -> Classifier:
    """Returns a classifier that learned from a few labels with a run's encoder.

    The run is left as it is. Fine-tuning takes 300 steps over all labels, of which none is held
    out. Of columns that are copies of the labels a `DiaboloWarning` tells.

    Arguments:
        run: A fitted model of x alone: it was not shown the labels, and takes no condition.
        x: The data (n, *S) that have labels, as those that were fitted.
        labels: A label for each; where one is missing (None, NaN), its datum is passed over.
        how: `probe` is a logistic regression on features of the encoder, `finetune` goes on from
            there with all of the encoder's weights, and `scratch` trains the same network from a
            random start, which is what the other two are to be compared with.
        features: `code`, the posterior's means, or `hidden`, what the last layer of its network
            reads; None takes whichever does better in cross-validation, as C is chosen too.
            `scratch` has no such choice and takes `hidden` where there is one.
        seed: The seed of folds, of a random start and of the order of training.

    Raises:
        DiaboloError: If the run's model has classes of its own or reads a condition, the data are
            not like those fitted, labels are no classes, or there is one only.
    """
    if how not in HOWS:
        raise unknown("way to make a classifier", how, HOWS)
    if run.model.classifies:
        raise DiaboloError(
            "This run's model has classes of its own, run.classify(x): a classifier from other "
            "labels needs a model of x alone, such as 'vae'."
        )
    if run.spec.condition:
        raise DiaboloError(
            "This run's model reads a condition, which new data of unknown class have not: fit a "
            "model of x alone, such as 'vae'."
        )
    kinds = kinds_of(run.model)
    if features is not None and features not in kinds:
        raise unknown("kind of features of this model", features, kinds)
    seed = whole("seed", seed)
    data, classes = _labelled(run, x, labels)
    _warn_of_copies(run, data, classes)
    config = _settings(run, how, len(data), seed)
    if how != "scratch":
        found = _probe(run, data, classes, kinds if features is None else (features,), seed)
        if how == "probe":
            return found
        _continuous(run)
        net, kind = copy.deepcopy(found.net), found.features
    else:
        _continuous(run)
        found, kind = None, kinds[-1] if features is None else features  # type: ignore[assignment]
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(mix_seed(seed, 13))
            function = run.function or RECIPES.load(run.config.recipe)
            fresh = function(run.spec, **run.config.options).model
        fresh.to(next(run.model.parameters())).eval()
        f = features_of(fresh, run.model, data, kind)
        net = grown(fresh, kind, f.mean(0), _scale(f), len(classes.names), mix_seed(seed, 14))
    seen = torch.cat(list(read(run.model, data)))
    codes = torch.from_numpy(classes.codes).to(seen.device)
    trained(net, seen, codes, len(classes.names), config)
    return Classifier(
        run,
        how,
        kind,  # type: ignore[arg-type]
        None if found is None else found.strength,
        None if found is None else found.held_out,
        classes.names,
        tuple(classes.counts.tolist()),
        classes.values,
        net,
    )


def _labelled(run: Run, x: Any, labels: Any) -> tuple[Data, Classes]:
    """Returns the data that have labels, and their classes."""
    data = as_data(run, x, None, None)
    column = label_column(labels, "labels", len(data), some=True)
    there = ~missing(column)
    if not there.any():
        raise DiaboloError("All labels are missing: there is nothing to learn from.")
    if not there.all():
        data, column = data.take(torch.from_numpy(np.flatnonzero(there))), column[there]
        if column.dtype.kind == "O":
            column = np.array(column.tolist())
    return data, classes_of(column)


def _warn_of_copies(run: Run, data: Data, classes: Classes) -> None:
    """Warns of columns of a run that are copies of the labels, where these are not too few."""
    count = len(data)
    if run.schema.layout != "vector" or count < max(ENOUGH, AGAIN * len(classes.names)):
        return
    batch = data.batch(torch.arange(count, device=data.device))
    seen = batch.x if batch.mask is None else batch.x.masked_fill(~batch.mask, torch.nan)
    found = telling(classes, list(seen.double().cpu().numpy().T))
    if found:
        names = [run.schema.column(run.schema.kept[i]) for i in found]
        are, it = ("are copies", "them") if len(found) > 1 else ("is a copy", "it")
        warnings.warn(
            f"The run itself reads {', '.join(names)}, which {are} of the labels, so that its "
            f"features tell the answer, and the part told right says nothing of rows without {it}: "
            f"fit a run without {it}, unless {'they are' if len(found) > 1 else 'it is'} known of "
            "rows whose class is not.",
            DiaboloWarning,
            stacklevel=3,
        )


def _continuous(run: Run) -> None:
    """Refuses to train an encoder whose codes have no gradient."""
    if any(run.model.levels):
        raise DiaboloError(
            "Codes of this model are names of values, through which no gradient passes: use "
            "how='probe'."
        )


def _settings(run: Run, how: How, count: int, seed: int) -> TrainConfig:
    size = min(BATCH, count)
    return TrainConfig(
        epochs=ceil(STEPS * size / (count * times(count, size))),
        batch_size=size,
        learning_rate=RATES.get(how, 1e-3),
        schedule="cosine",
        precision="float32",
        compile="off",
        device=run.device.type,  # type: ignore[arg-type]
        seed=mix_seed(seed, 15),
    )


def _scale(f: torch.Tensor) -> torch.Tensor:
    scale = f.std(0, correction=0)
    return torch.where(scale > 0, scale, 1.0)


def _probe(run: Run, data: Data, classes: Classes, kinds: tuple[str, ...], seed: int) -> Classifier:
    """Returns the probe with the features and the C that cross-validation finds best."""
    found = []
    for kind in kinds:
        f = features_of(run.model, run.model, data, kind)
        loc, scale = f.mean(0), _scale(f)
        x = ((f - loc) / scale).numpy()
        strength, loss, right = _strength(x, classes, seed)
        found.append((loss, kind, loc, scale, x, strength, right))
    _, kind, loc, scale, x, strength, right = min(found, key=lambda each: each[0])
    net = grown(run.model, kind, loc, scale, len(classes.names), 0)
    with torch.no_grad():
        for p, value in zip(net.head.parameters(), _regression(x, classes, strength), strict=True):
            p.copy_(torch.from_numpy(value))
    return Classifier(
        run,
        "probe",
        kind,  # type: ignore[arg-type]
        strength,
        right,
        classes.names,
        tuple(classes.counts.tolist()),
        classes.values,
        net,
    )


def _strength(
    x: NDArray[np.float64], classes: Classes, seed: int
) -> tuple[float, float, float | None]:
    """Returns the best C, its cross-entropy in nats and its accuracy on labels held out."""
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, int(classes.counts.min()))
    if folds < 2:
        return ALONE, 0.0, None
    split = StratifiedKFold(folds, shuffle=True, random_state=mix_seed(seed, 16) % 2**31)
    parts = list(split.split(x, classes.codes))
    best: tuple[float, float, float | None] = (ALONE, np.inf, None)
    for strength in STRENGTHS:
        nats, right = 0.0, 0
        for train, held in parts:
            weight, bias = _regression(x[train], classes.take(train), strength)
            logits = torch.from_numpy(x[held] @ weight.T + bias)
            codes = torch.from_numpy(classes.codes[held])
            nats += float(torch.nn.functional.cross_entropy(logits, codes, reduction="sum"))
            right += int((logits.argmax(1) == codes).sum())
        if nats / len(x) < best[1]:
            best = (strength, nats / len(x), right / len(x))
    return best


def _regression(
    x: NDArray[np.float64], classes: Classes, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the weights (C, F) and offsets (C,) of a logistic regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few digits are enough
        # One label a class is few, and may be all there is.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = LogisticRegression(C=strength, max_iter=1000).fit(x, classes.codes)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # of two classes scikit-learn has the logit of the second
        zero = np.zeros_like(weight)
        return np.concatenate([zero, weight]), np.concatenate([[0.0], bias])
    return weight, bias
