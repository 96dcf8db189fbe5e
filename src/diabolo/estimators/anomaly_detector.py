"""An outlier detector: rows that a model finds strange.

Shapes: n rows, S the shape of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin

from ..data.table import is_frame
from ..errors import DiaboloError
from ..model import Recipe
from ..noise import mix_seed
from ..run.asked import as_data
from ..tasks import SCORES
from ..tasks.anomalies import default_score
from ..tasks.scores import Judge, Subject
from ..tasks.scores._subject import Normal
from ._fitted import Fitted, epochs_of, keyed, options_of

__all__ = ["AnomalyDetector"]

MOST = 2000  # rows that a score learns of
TABLES = {"latent": 2, "net": "mlp(hidden=(64,))", "likelihood": "StudentT(scale=column)"}
ROBUST = {"beta": 1.0, "trim": 0.1}
FEW = 20  # rows, of which two are for validation: fewer are not trimmed
STEPS, EPOCHS = 1500, 50  # of tables, and of all else


class AnomalyDetector(OutlierMixin, Fitted):
    """An autoencoder, variational or not, as an outlier detector.

    X is read as `Autoencoder` reads it. It is trained on all rows, strange ones among them.

    Tables are fitted, where nobody says otherwise and the recipe has such options, with a network
    of one hidden layer of 64, two latent elements and, for an array of floats, Student's t with a
    scale for each column. Its heavy tails keep strange rows from bending the fit, and so does it
    that the tenth of each batch that is explained worst is not learned. The page on anomalies tells
    how these were chosen.

    Arguments:
        recipe: The name of a recipe, or a function `(spec, *, options) -> Recipe`; None takes, for
            tables, `beta_vae` with `beta=1` and `trim=0.1`, and for all else `vae`.
        contamination: The part of the training rows that is called strange, at most 0.5.
        anomaly: A score of `diabolo.tasks.SCORES`, with options; None takes the default of
            `diabolo.anomalies`. What a score learns of normal rows, it learns of those in `fit`.
        latent: The number D of latent elements; None takes 2 for tables, and else leaves it to
            the recipe.
        epochs: Passes over the data at most; None takes as many as make 1500 steps for tables, and
            50 for all else.
        batch_size: Rows in one step.
        learning_rate: The largest learning rate, of a cosine schedule.
        options: Any other option of `diabolo.fit` by name.
        random_state: An integer, a `RandomState` of NumPy, or None for another result each time.

    Attributes:
        run_: The fitted run.
        offset_: The threshold: `decision_function` is `score_samples` less it.
        usual_: Rows of `fit`, 2000 at most, of which a score learns what is usual.
        n_features_in_: The number of columns seen in `fit`.
        feature_names_in_: Their names, where X was a frame.
        n_iter_: The epochs that were trained.

    Raises:
        DiaboloError: A ValueError, at data that cannot be read or an unknown option.
    """

    made_anew = ("_judge",)
    offset_: float
    usual_: Any
    _judge: Judge | None

    def __init__(
        self,
        recipe: str | Callable[..., Recipe] | None = None,
        *,
        contamination: float = 0.1,
        anomaly: str | None = None,
        latent: int | None = None,
        epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float = 2e-3,
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.recipe = recipe
        self.contamination = contamination
        self.anomaly = anomaly
        self.latent = latent
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.options = options
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> AnomalyDetector:
        """Trains the recipe on X (n, *S), sets the threshold, and returns the estimator."""
        part = self.contamination
        if not isinstance(part, Real) or not 0 < part <= 0.5:
            raise DiaboloError(
                f"contamination is a number above 0 and at most 0.5, but got {part!r}."
            )
        self.run_, self._judge = self._train(X, usual=self._usual), None
        self.usual_ = _some(self._rows(X))
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))
        return self

    def _usual(self, x: Any) -> dict[str, Any]:
        """Returns what x is fitted with where the user does not say it: options of `fit`."""
        given = {name.removeprefix("train.").removeprefix("data.") for name in self.options or {}}
        table = is_frame(x) or x.ndim == 2
        found: dict[str, Any] = {}
        if self.epochs is None:
            found["epochs"] = epochs_of(len(x), self.batch_size, STEPS) if table else EPOCHS
        if "schedule" not in given:
            found["schedule"] = "cosine"
        if table:
            real = not is_frame(x) and x.dtype.kind == "f" and "support" not in given
            known = options_of(self.recipe or "beta_vae")
            if self.recipe is None:
                found |= {"recipe": "beta_vae", **(ROBUST if len(x) >= FEW else {"beta": 1.0})}
            said = {"latent"} if self.latent is not None else set()
            said |= set() if real else {"likelihood"}
            found |= {n: v for n, v in TABLES.items() if n in known and n not in said}
        return found

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Returns how usual each row is, (n,): less is stranger; nats, but for some scores."""
        data = self._keyed(X)
        judge = getattr(self, "_judge", None)
        if judge is None:
            usual = keyed(as_data(self.run_, self.usual_, None, None))
            normal = Normal(lambda: usual, lambda: usual)
            subject = Subject(self.run_.model, self.run_.schema, normal)
            judge = SCORES.build(self.anomaly or default_score(self.run_), subject)
            self._judge = judge
        return -judge(data, 0).numpy()

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Returns `score_samples` less the threshold, (n,): below 0 is strange."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Returns -1 for strange rows and 1 for the others, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)


def _some(rows: Any) -> Any:
    """Returns at most `MOST` rows, drawn the same way each time."""
    if len(rows) <= MOST:
        return rows
    generator = np.random.default_rng(mix_seed(len(rows)))
    places = np.sort(generator.choice(len(rows), MOST, replace=False))
    return nw.from_native(rows)[places.tolist()].to_native() if is_frame(rows) else rows[places]
