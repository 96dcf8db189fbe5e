"""A transformer: rows to codes and back, and the density of rows.

Shapes: n rows, D latent elements, S the shape of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..evaluate import log_likelihood
from ..model import Recipe
from ._fitted import LARGEST, Fitted

__all__ = ["Autoencoder"]


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Fitted):
    """An autoencoder, variational or not, as a transformer with a density where it has one.

    X is a matrix (n, columns), a data frame of any kinds of columns, or images (n, H, W) and
    (n, H, W, channels). A matrix of floats is read as real numbers; integers and images as
    `diabolo.fit` reads them, and a frame too, unless it holds nothing but numbers: then it is the
    matrix of them, as everywhere in scikit-learn. NaN are entries that were not seen.

    Arguments:
        recipe: The name of a recipe, or a function `(spec, *, options) -> Recipe`.
        latent: The number D of latent elements; None leaves it to the recipe.
        epochs: Passes over the data at most.
        batch_size: Rows in one step.
        learning_rate: The largest learning rate.
        k: Posterior samples a row for `score_samples`.
        options: Any other option of `diabolo.fit` by name, such as `{"beta": 4.0}`.
        random_state: An integer, a `RandomState` of NumPy, or None for another result each time.

    Attributes:
        run_: The fitted run.
        n_features_in_: The number of columns seen in `fit`.
        feature_names_in_: Their names, where X was a frame.
        n_iter_: The epochs that were trained.

    Raises:
        DiaboloError: A ValueError, at data that cannot be read or an unknown option.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X = load_wine().data
        >>> codes = make_pipeline(StandardScaler(), Autoencoder(latent=2, epochs=3, random_state=0))
        >>> codes.fit_transform(X).shape
        (178, 2)
    """

    def __init__(
        self,
        recipe: str | Callable[..., Recipe] = "vae",
        *,
        latent: int | None = None,
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        k: int = 100,
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.recipe = recipe
        self.latent = latent
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.k = k
        self.options = options
        self.random_state = random_state

    @property
    def _n_features_out(self) -> int:
        return self.run_.latent

    def fit(self, X: Any, y: Any = None) -> Autoencoder:
        """Trains the recipe on X (n, *S) and returns the estimator; y has no part in it."""
        self.run_ = self._train(X)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Returns the posterior mean of each row's code, (n, D)."""
        data = self._keyed(X)  # which refuses in an estimator without a run
        return self._typed(self.run_.encode(data), X)

    def inverse_transform(self, Z: Any) -> Any:
        """Returns the mean of p(x | z) of codes (n, D), as rows like those that were fitted."""
        check_is_fitted(self, "run_")
        return self._typed(self.run_.decode(np.asarray(Z)), Z)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Returns the importance-weighted log-likelihood of each row in nats, (n,).

        A lower bound in expectation that rises with k, as `Run.score`.

        Raises:
            DiaboloError: If the recipe is deterministic: it has no likelihood.
        """
        data = self._keyed(X)
        found = log_likelihood(self.run_.model, data, k=self.k, compile="off")
        return found.per_datum.double().cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Returns the mean of `score_samples`, in nats a row."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Returns new rows x ~ p(x | z), z ~ p(z), (n_samples, *S).

        Raises:
            DiaboloError: If the recipe has no prior over codes.
        """
        check_is_fitted(self, "run_")
        given = self.random_state if random_state is None else random_state
        seed = int(check_random_state(given).randint(LARGEST))
        return self.run_.sample(n_samples, seed=seed)
