"""The remedies for rare classes, what a classifier learns from each, and how it then does.

Shapes: n rows, D numbers of a row, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.table import eager, is_frame
from ..errors import DiaboloError, missing_extra
from ..evaluate.samples.nearest import nearest_training
from ..noise import mix_seed
from ._classes import Classes
from .balance import balance, taken

__all__ = [
    "METRICS",
    "OURS",
    "REMEDIES",
    "Contest",
    "Model",
    "Near",
    "Training",
    "model_of",
    "numbers_of",
]

METRICS = ("balanced accuracy", "macro F1", "average precision")
REMEDIES = ("nothing", "class weights", "random oversampling", "SMOTE", "drawn rows")
OURS = REMEDIES[-1]
TREES = 100


class Near(NamedTuple):
    """How near a remedy's new rows are to training rows, over all folds.

    Attributes:
        rows: How many new rows there were.
        near: How many of them are as near to a training row as the nearest hundredth of the held
            out rows of their classes.
        expected: How many there would be if they had the law of those rows.
        ratio: Their mean distance to the nearest training row, divided by that of those rows.
    """

    rows: int
    near: int
    expected: float
    ratio: float


class Training(NamedTuple):
    """What a classifier learns from: numbers, codes, and the positions of new rows among them."""

    x: NDArray[np.float64]
    codes: NDArray[np.int64]
    new: NDArray[np.int64]
    loc: NDArray[np.float64]
    scale: NDArray[np.float64]


class Model(NamedTuple):
    """A classifier, its settings to choose from, and what it is called."""

    estimator: Any
    settings: list[dict[str, Any]]
    name: str


@dataclass(frozen=True, eq=False)
class Contest:
    """The table and what all folds share."""

    rows: Any
    flat: NDArray[np.float64]
    classes: Classes
    model: Model
    recipe: str
    even: bool
    mean: bool | None
    seed: int
    options: Mapping[str, Any]

    def resampled(self, at: NDArray[np.int64], number: int) -> dict[str, Training]:
        """Returns what each remedy makes of the training rows at these positions."""
        over = _samplers()
        codes, seed = self.classes.codes[at], mix_seed(self.seed, 10, number) % 2**31
        loc, scale = self.flat[at].mean(0), self.flat[at].std(0)
        scale = np.where(scale > 0, scale, 1.0)
        x = (self.flat[at] - loc) / scale

        def of(x: NDArray[Any], codes: NDArray[Any]) -> Training:
            return Training(x, codes, np.arange(len(at), len(x)), loc, scale)

        plain = of(x, codes)
        fewest = int(np.bincount(codes)[np.unique(codes)].min())
        again = over.RandomOverSampler(random_state=seed).fit_resample(x, codes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            smote = over.SMOTE(k_neighbors=min(5, fewest - 1), random_state=seed)
            between = smote.fit_resample(x, codes)
        names = np.array(self.classes.names)[codes]
        found = balance(
            taken(self.rows, at),
            names,
            self.recipe,
            even=self.even,
            mean=self.mean,
            seed=mix_seed(self.seed, 11, number),
            **self.options,
        )
        new = numbers_of(eager(found.x) if is_frame(found.x) else found.x)[len(at) :]
        place = {n: i for i, n in enumerate(self.classes.names)}
        ours = np.array([place[n] for n in found.y], dtype=np.int64)
        drawn = of(np.concatenate([x, (new - loc) / scale]), ours)
        return dict(zip(REMEDIES, (plain, plain, of(*again), of(*between), drawn), strict=True))

    def fitted(self, remedy: str, made: Training, settings: Mapping[str, Any]) -> Any:
        """Returns the classifier, trained."""
        from sklearn.base import clone

        weights = {"class_weight": "balanced"} if remedy == "class weights" else {}
        named = {"random_state": self.seed % 2**31} if "random_state" in self.params else {}
        model = clone(self.model.estimator).set_params(**{**named, **settings, **weights})
        return model.fit(made.x, made.codes)

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the classifier."""
        return self.model.estimator.get_params()

    def chosen(
        self, remedy: str, inside: Sequence[tuple[dict[str, Training], NDArray[np.int64]]]
    ) -> dict[str, Any]:
        """Returns the settings with the best balanced accuracy over the inner folds."""
        settings = self.model.settings
        if len(settings) == 1:
            return settings[0]
        values = [
            np.mean([self.scores(remedy, m[remedy], held, s)[METRICS[0]] for m, held in inside])
            for s in settings
        ]
        return settings[int(np.argmax(values))]

    def scores(
        self, remedy: str, made: Training, test: NDArray[np.int64], settings: Mapping[str, Any]
    ) -> dict[str, float]:
        """Returns each metric on the rows at these positions."""
        from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

        model = self.fitted(remedy, made, settings)
        x, codes = (self.flat[test] - made.loc) / made.scale, self.classes.codes[test]
        told = model.predict_proba(x)
        named = model.classes_[told.argmax(1)]
        each = range(len(self.classes.names))
        if len(each) == 2:  # of the rare class, as the other one follows from it
            each = (int(self.classes.counts.argmin()),)
        place = {c: i for i, c in enumerate(model.classes_)}
        precision = [
            average_precision_score(codes == c, told[:, place[c]]) for c in each if c in place
        ]
        f1 = f1_score(codes, named, average="macro", zero_division=0)
        found = (balanced_accuracy_score(codes, named), f1, np.mean(precision))
        return {m: float(v) for m, v in zip(METRICS, found, strict=True)}

    def near(self, made: Training, train: NDArray[np.int64], test: NDArray[np.int64]) -> Near:
        """Returns how near new rows are to training rows, beside held-out rows of their classes."""
        if not len(made.new):  # of a training part whose classes are even by chance
            return Near(0, 0, 0.0, 0.0)
        like = np.isin(self.classes.codes[test], made.codes[made.new])
        # All in the type in which distances are taken, so that a copy's is 0.
        other, known, new = (
            torch.from_numpy(x).float()
            for x in (
                (self.flat[test][like] - made.loc) / made.scale,
                (self.flat[train] - made.loc) / made.scale,
                made.x[made.new],
            )
        )
        found = nearest_training(other, new, [(known, torch.from_numpy(train))])
        return Near(len(new), found.copies, found.expected, found.ratio.value)


def _samplers() -> Any:
    try:
        from imblearn import over_sampling
    except ImportError:
        raise missing_extra("imbalanced-learn", "balance", "The referee of balancing") from None
    return over_sampling


def model_of(classifier: Any, grid: Mapping[str, Sequence[Any]] | None) -> Model:
    """Returns the classifier with its settings.

    Raises:
        DiaboloError: If it has no probabilities or class weights, or not such a setting.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import ParameterGrid

    if classifier is None:
        classifier = RandomForestClassifier(n_estimators=TREES)
        grid = grid or {"min_samples_leaf": (1, 5)}
    name = type(classifier).__name__
    known = classifier.get_params() if hasattr(classifier, "get_params") else {}
    if "class_weight" not in known or not hasattr(classifier, "predict_proba"):
        raise DiaboloError(
            "The referee's classifier has probabilities and class weights (predict_proba and "
            f"class_weight), as scikit-learn's forests and logistic regression do; {name} has not."
        )
    for key in grid or {}:
        if key not in known or key == "class_weight":
            raise DiaboloError(f"'{key}' is no setting of {name} that the grid can choose.")
    told = ", ".join(f"{k} of {tuple(v)}" for k, v in (grid or {}).items())
    size = f" of {known['n_estimators']} trees" if "n_estimators" in known else ""
    return Model(
        classifier, list(ParameterGrid(grid or {})), f"{name}{size}" + f", {told}" * bool(told)
    )


def numbers_of(rows: Any) -> NDArray[np.float64]:
    """Returns rows as (n, D), float64.

    Raises:
        DiaboloError: If a column is not numeric or an entry is missing.
    """
    if not isinstance(rows, np.ndarray):
        for name in rows.columns:
            if not (rows[name].dtype.is_numeric() or str(rows[name].dtype) == "Boolean"):
                raise DiaboloError(
                    f"Column '{name}' is not numeric, and the referee's classifier and SMOTE read "
                    "numbers: leave it out or make numbers of it."
                )
        rows = rows.to_numpy()
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    bad = ~np.isfinite(flat)
    if bad.any():
        raise DiaboloError(
            f"Row {int(bad.any(1).argmax())} has a missing or infinite entry, and SMOTE takes "
            "complete rows: fill it in or remove the row."
        )
    return flat
