"""An imputer: holes filled in by what a model makes of the rest of each row.

Shapes: n rows, S the shape of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from ..data.table import is_frame
from ..model import Recipe
from ..tasks import impute
from ._fitted import Fitted

__all__ = ["Imputer"]


class Imputer(OneToOneFeatureMixin, TransformerMixin, Fitted):
    """A variational autoencoder as an imputer: the conditional mean, or most probable class.

    X is read as `Autoencoder` reads it; NaN, and a frame's nulls, are holes. What was seen comes
    back as it was.

    Arguments:
        recipe: The name of a recipe, or a function `(spec, *, options) -> Recipe`.
        method: How the conditional is found, as in `diabolo.impute`; None leaves it to the run.
        latent: The number D of latent elements; None leaves it to the recipe.
        epochs: Passes over the data at most.
        batch_size: Rows in one step.
        learning_rate: The largest learning rate.
        options: Any other option of `diabolo.fit` by name.
        random_state: An integer, a generator of NumPy, or None for another result each time.

    Attributes:
        run_: The fitted run.
        n_features_in_: The number of columns seen in `fit`.
        feature_names_in_: Their names, where X was a frame.
        n_iter_: The epochs that were trained.

    Raises:
        DiaboloError: A ValueError, at data that cannot be read or an unknown option.
    """

    def __init__(
        self,
        recipe: str | Callable[..., Recipe] = "vae",
        *,
        method: str | None = None,
        latent: int | None = None,
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.recipe = recipe
        self.method = method
        self.latent = latent
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.options = options
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Imputer:
        """Trains the recipe on X (n, *S), holes and all, and returns the estimator."""
        self.run_ = self._train(X, missing="nan")
        return self

    def transform(self, X: Any) -> Any:
        """Returns X without its holes, as a new array or frame of the type of X."""
        x = self._rows(X)
        if is_frame(x):
            return impute(self.run_, x, method=self.method).data
        hole = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
        if not hole.any():
            return x.copy()
        found = impute(self.run_, self._keyed(X), method=self.method).data
        return np.where(hole, found, x).astype(x.dtype, copy=False)
