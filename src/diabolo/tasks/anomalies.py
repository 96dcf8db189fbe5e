"""Which rows of data are strange to a fitted model, how sure that is, and what is strange of them.

Shapes: n rows, S the layout of one datum as the user gave it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Data
from ..errors import DiaboloError, whole
from ..evaluate import Precision
from ..evaluate.passes import autocast
from ..noise import mix_seed
from ..run import Run
from ..run.asked import as_data
from .attribution import arranged
from .attribution import attribution as attribute
from .conformal import conformal_p_values, discoveries
from .scores import SCORES, Subject
from .scores._subject import Normal
from .scores.complexity import unfit

__all__ = ["AnomalyResult", "anomalies", "default_score"]

BESIDE = 0x626573696465  # apart from the noise of the data that are judged
FOREIGN = (
    "The score 'excess' may call plain foreign images normal. 'complexity' judges images of grey "
    "levels or bits, without holes, by a variational model, and 'regret' any image by such a one."
)


@dataclass(frozen=True, eq=False)
class AnomalyResult:
    """How strange each row is.

    Arguments:
        score: What was measured: the name of a score with its options.
        scores: The score of each row, (n,): larger is stranger. It is in nats, but for
            `latent_distance`, in standard deviations, and `excess`, in quartiles.
        flags: Which rows are called anomalies, (n,); None where nothing was asked for.
        threshold: The score above which, or from which on with p-values, a row is flagged; None
            where none is, or nothing was asked for.
        p_values: The conformal p-value of each row, (n,); None without normal data beside.
        attribution: The part of each column or pixel in the distortion of its row, (n, *S) nats,
            NaN where an entry was not seen; None where it was not asked for.
        notes: Sentences on what to be careful with.
    """

    score: str
    scores: NDArray[np.float64]
    flags: NDArray[np.bool_] | None = None
    threshold: float | None = None
    p_values: NDArray[np.float64] | None = None
    attribution: NDArray[np.float64] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def order(self) -> NDArray[np.intp]:
        """The rows from the strangest on, (n,)."""
        return np.argsort(-self.scores, kind="stable")

    def to_json(self) -> dict[str, Any]:
        """Returns what is told of all rows together, as numbers and strings."""
        return {
            "score": self.score,
            "n": len(self),
            "flagged": None if self.flags is None else int(self.flags.sum()),
            "threshold": self.threshold,
            "strangest": [int(i) for i in self.order[:10]],
            "notes": list(self.notes),
        }


def default_score(run: Run) -> str:
    """Returns the score that is taken where none is named.

    It is `complexity` for images that it can judge, since most others call plain foreign images
    normal, and `excess` for all else.
    """
    holes = run.schema.missing == "nan"
    able = unfit(run.schema) is None and not holes and not run.model.deterministic
    return "complexity" if able else "excess"


def anomalies(
    run: Run,
    data: Any,
    *,
    score: str | None = None,
    contamination: float | None = None,
    fdr: float | None = None,
    reference: Any = None,
    attribution: bool = False,
    labels: Any = None,
    condition: Any = None,
    seed: int = 0,
    precision: Precision = "float32",
) -> AnomalyResult:
    """Returns how strange each row of data is to a fitted model, and which rows to flag.

    Flags by `contamination` take the strangest part of the rows as they come. Flags by `fdr` stand
    on conformal p-values beside normal data: of all rows flagged, that part is expected to be false
    alarms, whatever the score is, if the normal rows are exchangeable with the reference.

    Arguments:
        run: A fitted model.
        data: Data (n, *S) as those that were fitted, a path, or `Data`; missing values are taken
            as the run's data were.
        score: One of `SCORES`, with options: `log_likelihood(k=1000)`; None takes
            `complexity` for images of grey levels or bits without holes, and `excess` for all else.
        contamination: The part of the rows to flag, above 0 and at most 0.5.
        fdr: The false-discovery rate to keep, between 0 and 1.
        reference: Data known to be normal, as `data` or with labels, (data, labels): for p-values,
            and for scores that learn of normal data. None takes the run's validation data, which
            chose the weights and so look a little too normal, and for `excess`, `margins` and
            `latent_distance` the training data. With `reference` there are p-values even if
            nothing is to be flagged.
        attribution: Whether to tell the part of each column or pixel in the distortion.
        labels: Labels of `data`, where the model is conditional on labels.
        condition: Conditions of `data`, where these are not labels.
        seed: Keys the noise.
        precision: The type in which networks compute.

    Raises:
        DiaboloError: If the score has no meaning for this model, data are not like those fitted,
            there are no normal data where they are needed, or an option has no effect.
    """
    _check(contamination, fdr)
    seed = whole("seed", seed)
    autocast(precision, run.device)  # an unknown precision is refused before any work
    x = as_data(run, data, labels, condition)
    sure = fdr is not None or reference is not None
    normal = Normal(lambda: _held(run, reference), lambda: _trained(run, reference), halved=sure)
    subject = Subject(run.model, run.schema, normal, precision)
    name = default_score(run) if score is None else score
    judge = SCORES.build(name, subject)
    scores = judge(x, seed).numpy()
    notes = [FOREIGN] if score is None and name == "excess" and _pictures(run) else []
    p_values = None
    if sure:
        beside = normal.beside()
        p_values = conformal_p_values(scores, judge(beside, mix_seed(seed, BESIDE)).numpy())
        notes += _notes(len(x), len(beside), fdr, reference is None)
    flags, threshold = None, None
    if contamination is not None:
        threshold = float(np.quantile(scores, 1 - contamination))
        flags = scores > threshold
    elif fdr is not None:
        assert p_values is not None
        flags = discoveries(p_values, fdr)
        threshold = float(scores[flags].min()) if flags.any() else None
    told = None
    if attribution:
        parts = attribute(run.model, x, seed=seed, precision=precision)
        told = arranged(run.schema, parts)
    return AnomalyResult(name, scores, flags, threshold, p_values, told, tuple(notes))


def _pictures(run: Run) -> bool:
    """Returns whether the data are images."""
    return run.schema.layout != "vector"


def _check(contamination: float | None, fdr: float | None) -> None:
    """Refuses thresholds that are none.

    Raises:
        DiaboloError: Naming the option.
    """
    if contamination is not None and fdr is not None:
        raise DiaboloError("Flags come from contamination or from fdr: give one of them.")
    for name, value, high in (("contamination", contamination, 0.5), ("fdr", fdr, 1.0)):
        if value is None:
            continue
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        last = number and (value == high == 0.5)
        if not number or not (0 < value < high or last):
            upto = "at most 0.5" if high == 0.5 else "below 1"
            raise DiaboloError(f"{name} is a number above 0 and {upto}, but got {value!r}.")


def _trained(run: Run, reference: Any) -> Data | None:
    """Returns the training data, or None where a reference was given or they are gone."""
    return run.data("train") if reference is None else None


def _held(run: Run, reference: Any) -> Data:
    """Returns data known to be normal: those that were given, or the run's validation data.

    Raises:
        DiaboloError: If there are none.
    """
    if reference is not None:
        data, labels = reference if isinstance(reference, tuple) else (reference, None)
        return as_data(run, data, labels, None)
    held = run.data("valid")
    if held is None:
        raise DiaboloError(
            "This needs data known to be normal, and the run's validation data were passed in "
            "memory and are gone: give reference=, rows like those fitted, or take a score that "
            "learns of none, such as 'log_likelihood'."
        )
    return held


def _notes(n: int, m: int, fdr: float | None, chosen: bool) -> list[str]:
    """Returns what to be careful with in p-values of n rows beside m normal ones."""
    least = 1 / (m + 1)
    out = []
    if fdr is not None and least > fdr / n:
        needed = int(np.ceil(least * n / fdr))
        out.append(
            f"The least p-value beside {m} normal rows is {least:.2g}: at fdr={fdr:g} rows are "
            f"flagged only where {needed} or more of these {n} stand out together. More normal "
            "rows (reference=) see single ones."
        )
    if chosen:
        out.append(
            "The normal rows are the run's validation data, which chose the weights: p-values may "
            "be a little too small. Rows that the run has not seen (reference=) have no such lean."
        )
    return out
