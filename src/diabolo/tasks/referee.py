r"""Whether rows drawn for rare classes help a classifier, by nested cross-validation.

Five remedies are compared with one classifier on the same folds: nothing, class weights, random
oversampling, SMOTE, and the rows of `balance`. Whatever a remedy makes is made of the training part
alone, in the inner folds too, which choose the classifier's settings. Differences are taken within
folds. Folds share training rows, so that their spread says too little; the corrected resampled t
test has for J folds with n_2 test and n_1 training rows

.. math:: t = \bar d \Big/ \sqrt{\big(\tfrac1J + \tfrac{n_2}{n_1}\big) s_d^2}

References:
    | Inference for the Generalization Error (Nadeau & Bengio, 2003)
    | https://doi.org/10.1023/A:1024068626366
    | SMOTE: Synthetic Minority Over-sampling Technique (Chawla et al., 2002)
    | https://arxiv.org/abs/1106.1813

Shapes: n rows, C classes, J folds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.memory import as_array
from ..data.table import eager, is_frame
from ..errors import DiaboloError, whole
from ..noise import mix_seed
from ._classes import Classes, classes_of, copies_of
from ._contest import METRICS, OURS, REMEDIES, Contest, Near, model_of, numbers_of

__all__ = ["Gain", "Referee", "referee"]

LEVEL = 0.05  # of the test, for the four comparisons of one metric together (Holm)


class Gain(NamedTuple):
    """What the drawn rows are worth beside another remedy.

    Attributes:
        metric: By which metric.
        other: The other remedy.
        value: The mean over folds of the difference, above 0 where the drawn rows are better.
        stderr: Its corrected standard error.
        p: Of the corrected resampled t test, two-sided, with Holm's correction for the four
            comparisons of a metric.
        verdict: `gain`, `loss`, or `within the noise`.
    """

    metric: str
    other: str
    value: float
    stderr: float
    p: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Referee:
    """What nested cross-validation found.

    Arguments:
        classifier: The classifier, in words.
        folds: Outer folds, how often they were drawn anew, and inner folds.
        counts: How many rows each class has, by its name.
        scores: By metric and remedy, the score of each fold, (J,).
        gains: The drawn rows beside every other remedy.
        near: By remedy that makes rows.
        drawn: How many rows were drawn in a fold, on average.
        notes: Sentences for the user.
    """

    classifier: str
    folds: tuple[int, int, int]
    counts: Mapping[str, int]
    scores: Mapping[str, Mapping[str, tuple[float, ...]]]
    gains: tuple[Gain, ...]
    near: Mapping[str, Near]
    drawn: float
    notes: tuple[str, ...] = ()

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each metric."""
        told = []
        for metric in METRICS:
            found = {g.other: g for g in self.gains if g.metric == metric}
            better = [o for o, g in found.items() if g.verdict == "gain"]
            worse = [o for o, g in found.items() if g.verdict == "loss"]
            parts = []
            if better:
                parts.append(f"better than {', '.join(better)}")
            if worse:
                parts.append(f"worse than {', '.join(worse)}")
            rest = [o for o in found if o not in better and o not in worse]
            if rest:
                parts.append(f"within the noise of {', '.join(rest)}")
            told.append(f"{metric}: rows drawn by the model are {'; '.join(parts)}.")
        return told

    def to_json(self) -> dict[str, Any]:
        """Returns everything by name."""
        return {
            "classifier": self.classifier,
            "folds": list(self.folds),
            "counts": dict(self.counts),
            "drawn": self.drawn,
            "scores": {m: {r: list(v) for r, v in by.items()} for m, by in self.scores.items()},
            "gains": [g._asdict() for g in self.gains],
            "near": {r: n._asdict() for r, n in self.near.items()},
            "verdicts": self.verdicts,
            "notes": list(self.notes),
        }


def referee(
    x: Any,
    y: Any,
    recipe: str = "cvae",
    *,
    classifier: Any = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    folds: int = 5,
    repeats: int = 2,
    inner: int = 3,
    even: bool = True,
    mean: bool | None = None,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
    **options: Any,
) -> Referee:
    """Returns how rows of `balance` fare beside the cheap remedies, by nested cross-validation.

    The model is fitted `folds * repeats * (inner + 1)` times.

    Arguments:
        x: Rows (n, *S), complete: a numeric table as array or data frame, or images.
        y: A label for each row.
        recipe: As in `balance`.
        classifier: A scikit-learn classifier with probabilities and `class_weight`; it reads
            standardised columns. None takes a forest of 100 trees.
        grid: Its settings that the inner folds choose from, by balanced accuracy; for the forest
            the least rows of a leaf, 1 or 5.
        folds: Outer folds, in which all classes have their share.
        repeats: How often they are drawn anew.
        inner: Inner folds.
        even: As in `balance`, likewise the next one.
        mean: Take means instead of draws.
        seed: The seed of folds, classifiers, models and draws.
        progress: Called with the part that is done.
        options: Options of `fit`.

    Raises:
        DiaboloError: If imbalanced-learn is not installed, a class has too few rows for the folds,
            an entry is missing, or `balance` refuses the data.
    """
    seed = whole("seed", seed)
    for name, value in (("folds", folds), ("inner", inner)):
        whole(name, value, least=2)
    whole("repeats", repeats, least=1)
    rows: Any = eager(x) if is_frame(x) else as_array(x)
    classes = classes_of(y, len(rows))
    _enough(classes, folds, inner)
    flat = numbers_of(rows)
    if len(set(classes.counts.tolist())) == 1:
        raise DiaboloError("All classes have as many rows: there is nothing to balance.")
    work = Contest(
        rows, flat, classes, model_of(classifier, grid), recipe, even, mean, seed, options
    )
    total = folds * repeats * (inner + 1)
    say = progress or (lambda part: None)
    scores: dict[str, dict[str, list[float]]] = {m: {r: [] for r in REMEDIES} for m in METRICS}
    near: dict[str, list[Near]] = {r: [] for r in REMEDIES[2:]}
    parts: list[tuple[int, int]] = []
    drawn: list[int] = []
    done = 0
    for number, (train, test) in enumerate(_folds(classes.codes, folds, repeats, seed)):
        inside = []
        for a, b in _folds(classes.codes[train], inner, 1, mix_seed(seed, 9, number)):
            inside.append((work.resampled(train[a], number), train[b]))
            say((done := done + 1) / total)
        made = work.resampled(train, number)
        say((done := done + 1) / total)
        parts.append((len(train), len(test)))
        drawn.append(len(made[OURS].new))
        for remedy in REMEDIES:
            settings = work.chosen(remedy, inside)
            for metric, value in work.scores(remedy, made[remedy], test, settings).items():
                scores[metric][remedy].append(value)
        for remedy in near:
            near[remedy].append(work.near(made[remedy], train, test))
    share = float(np.mean([n2 / n1 for n1, n2 in parts]))
    final = {m: {r: tuple(v) for r, v in by.items()} for m, by in scores.items()}
    return Referee(
        classifier=work.model.name,
        folds=(folds, repeats, inner),
        counts={n: int(c) for n, c in zip(classes.names, classes.counts, strict=True)},
        scores=final,
        gains=tuple(g for m in METRICS for g in _gains(m, final[m], share)),
        near={r: _together(found) for r, found in near.items()},
        drawn=float(np.mean(drawn)),
        notes=copies_of(classes, rows),
    )


def _enough(classes: Classes, folds: int, inner: int) -> None:
    """Refuses a class that leaves some training part without two of its rows, or a test part empty.

    Raises:
        DiaboloError: Naming the class.
    """

    def suffices(n: int) -> bool:
        left = n - math.ceil(n / folds)
        return n >= folds and left >= inner and left - math.ceil(left / inner) >= 2

    least = next(n for n in range(2, 10_000) if suffices(n))
    few = int(classes.counts.argmin())
    if classes.counts[few] < least:
        raise DiaboloError(
            f"Class '{classes.names[few]}' has {classes.counts[few]} rows, but {folds} folds with "
            f"{inner} inner ones need {least} of each class: ask for fewer folds, or join it with "
            "another class."
        )


def _folds(
    codes: NDArray[np.int64], folds: int, repeats: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import RepeatedStratifiedKFold

    split = RepeatedStratifiedKFold(
        n_splits=folds, n_repeats=repeats, random_state=mix_seed(seed, 12) % 2**31
    )
    yield from split.split(np.zeros(len(codes)), codes)


def _gains(metric: str, scores: Mapping[str, Sequence[float]], share: float) -> list[Gain]:
    """Returns the drawn rows beside the other remedies, by the corrected resampled t test."""
    from scipy.stats import t as student

    found = []
    for other in REMEDIES[:-1]:
        d = np.subtract(scores[OURS], scores[other])
        error = math.sqrt((1 / len(d) + share) * d.var(ddof=1))
        p = float(2 * student.sf(abs(d.mean()) / error, len(d) - 1)) if error > 0 else 1.0
        found.append((other, float(d.mean()), error, p))
    order, least = sorted(range(len(found)), key=lambda i: found[i][3]), 0.0
    holm = [1.0] * len(found)
    for rank, i in enumerate(order):
        holm[i] = least = max(least, min(1.0, (len(found) - rank) * found[i][3]))
    return [
        Gain(metric, other, value, error, p, _verdict(value, p))
        for (other, value, error, _), p in zip(found, holm, strict=True)
    ]


def _verdict(value: float, p: float) -> str:
    if p >= LEVEL:
        return "within the noise"
    return "gain" if value > 0 else "loss"


def _together(found: Sequence[Near]) -> Near:
    rows = sum(n.rows for n in found)
    ratio = sum(n.rows * n.ratio for n in found) / max(1, rows)
    return Near(rows, sum(n.near for n in found), sum(n.expected for n in found), ratio)
