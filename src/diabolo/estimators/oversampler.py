"""A sampler of imbalanced-learn's kind: rows of rare classes, drawn by a conditional model.

Shapes: n rows, S the shape of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.utils import check_random_state

from ..data.table import is_frame
from ..model import Recipe
from ..tasks import balance
from ..tasks.balance import Strategy
from ._fitted import LARGEST, Fitted, reading

__all__ = ["Oversampler"]


class Oversampler(Fitted):
    """Fills up rare classes: `fit_resample(X, y)`, also within pipelines of imbalanced-learn.

    Arguments:
        recipe: A recipe that draws by class: `cvae` or `m2`.
        sampling_strategy: As in imbalanced-learn, and `diabolo.balance`.
        even: Show rows of rare classes more often in training.
        mean: Take means of p(x | z, y) instead of draws; None as in `diabolo.balance`.
        latent: The number D of latent elements; None leaves it to `diabolo.balance`.
        epochs: Passes over the data; None leaves it to `diabolo.balance`.
        batch_size: Rows in one step.
        learning_rate: The largest learning rate.
        options: Any other option of `diabolo.fit` by name.
        random_state: An integer, a `RandomState` of NumPy, or None for another result each time.

    Attributes:
        run_: The model that drew the rows; not there where nothing was lacking.
        sample_counts_: How many rows were drawn, by the name of their class.
        drawn_: True where a row of the result was drawn.
    """

    def __init__(
        self,
        recipe: str | Callable[..., Recipe] = "cvae",
        *,
        sampling_strategy: Strategy = "auto",
        even: bool = True,
        mean: bool | None = None,
        latent: int | None = None,
        epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.recipe = recipe
        self.sampling_strategy = sampling_strategy
        self.even = even
        self.mean = mean
        self.latent = latent
        self.epochs = epochs  # type: ignore[assignment]
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.options = options
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Oversampler:
        """Reads the shape of X (n, *S) and returns the sampler; `fit_resample` does the work."""
        self._rows(X, reset=True)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Returns the rows with the drawn ones after them, (n + m, *S), and their labels.

        Raises:
            DiaboloError: As `diabolo.balance`.
        """
        x = self._rows(X, reset=True, frames=True)
        given = {"latent": self.latent, "epochs": self.epochs}
        own: dict[str, Any] = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            **({} if is_frame(x) else reading(x)),
            **{name: value for name, value in given.items() if value is not None},
        }
        found = balance(
            x,
            y,
            self.recipe,
            sampling_strategy=self.sampling_strategy,
            even=self.even,
            mean=self.mean,
            seed=int(check_random_state(self.random_state).randint(LARGEST)),
            **{**own, **(self.options or {})},
        )
        vars(self).pop("run_", None)
        if found.run is not None:
            self.run_ = found.run
        self.sample_counts_, self.drawn_ = found.counts, found.drawn
        return found.x, found.y
