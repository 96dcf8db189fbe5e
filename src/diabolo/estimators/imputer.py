"""An imputer: holes filled in by what a model makes of the rest of each row.

Shapes: n rows, S the shape of one row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from ..data.table import is_frame
from ..model import Recipe
from ..run import Run
from ..tasks.impute import completed, given_of
from ..train import Diverged
from ._fitted import Fitted, epochs_of, keyed, options_of

__all__ = ["Imputer"]

TABLES: dict[str, Any] = {"net": "mlp(hidden=(128, 128))", "latent": 16}
NUMBERS = "Normal(scale=column)"  # the likelihood of real numbers
HOLES = {"recipe": "iwae", "k": 5, "posterior": "experts"}
TRAIN: dict[str, Any] = {"learning_rate": 2e-3, "schedule": "cosine", "ema": 0.99}
STEPS, LEAST = 3000, 10  # steps of tables, and epochs that they take at least
STILL = 400  # steps after which a training is over if none of them was the best
# The model of factor analysis, which the posterior of experts fits exactly.
PLAIN = {"decoder": "mlp(hidden=())", "latent": 20, "learning_rate": 1e-2}
FEW = 1000  # rows below which it is tried too
OTHERS = {"epochs": 50, "learning_rate": 1e-3}  # of all that is no table


class Imputer(OneToOneFeatureMixin, TransformerMixin, Fitted):
    """A variational autoencoder as an imputer: the conditional mean, or most probable class.

    X is read as `Autoencoder` reads it; NaN, and a frame's nulls, are holes. What was seen comes
    back as it was.

    Tables are fitted, where nobody says otherwise, by an importance-weighted autoencoder whose
    posterior leaves out a factor for each entry that was not seen. Tables below 1,000 rows are
    fitted twice, by networks and with a linear decoder, and the fit is kept whose bound is higher
    on the rows that are held out for validation. The page on imputation tells how these settings
    were chosen.

    Arguments:
        recipe: The name of a recipe, or a function `(spec, *, options) -> Recipe`; None takes, for
            tables, `iwae` with `k=5` and `posterior=experts`, and for all else `vae`.
        method: How the conditional is found, as in `diabolo.impute`; None leaves it to the run.
        latent: The number D of latent elements; None takes 16 for tables, or 20 where the decoder
            is linear, and else leaves it to the recipe.
        epochs: Passes over the data at most; None takes as many as make 3000 steps, but at least
            10, for tables, and 50 for all else. Trainings of tables end where none of 400 steps
            was the best.
        batch_size: Rows in one step.
        learning_rate: The largest learning rate; None takes 0.002 for tables, or 0.01 where the
            decoder is linear, and 0.001 for all else.
        options: Any other option of `diabolo.fit` by name. Where it tells of `net` or `decoder`,
            one model is fitted, and no other is tried.
        random_state: An integer, a `RandomState` of NumPy, or None for another result each time.

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
        recipe: str | Callable[..., Recipe] | None = None,
        *,
        method: str | None = None,
        latent: int | None = None,
        epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float | None = None,
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
        x = self._rows(X, reset=True)
        run = self._train(X, usual=self._usual, missing="nan")
        if self.recipe is None and _is_table(x) and len(x) < FEW and not self._built():
            alike = {"data.seed": run.config.data.seed, "train.seed": run.config.train.seed}
            with contextlib.suppress(Diverged):  # then the first stands
                other = self._train(X, usual=self._plain, missing="nan", **alike)
                run = max(run, other, key=_bound)
        self.run_, self.n_iter_ = run, len(run.history.rows)
        return self

    def _built(self) -> bool:
        """Whether the user has said what the networks are."""
        return not {"net", "decoder"}.isdisjoint(self._said())

    def _said(self) -> set[str]:
        """Returns the names of all that the user says."""
        said = {name.rpartition(".")[2] for name in self.options or {}}
        own = ("latent", "epochs", "learning_rate")
        return said | {name for name in own if getattr(self, name) is not None}

    def _usual(self, x: Any) -> dict[str, Any]:
        """Returns what x is fitted with where the user does not say it: options of `fit`."""
        said = self._said()
        found: dict[str, Any] = dict(OTHERS)
        if _is_table(x):
            known = options_of(self.recipe or "iwae")
            found = {n: v for n, v in TABLES.items() if n in known} | TRAIN
            if "likelihood" in known and "support" not in said:
                if is_frame(x) or "kinds" in said:
                    found["likelihood"] = {"real": NUMBERS}
                elif x.dtype.kind == "f":
                    found["likelihood"] = NUMBERS
            found |= HOLES if self.recipe is None else {}
            found["epochs"] = max(LEAST, epochs_of(len(x), self.batch_size, STEPS))
            found["patience"] = epochs_of(len(x), self.batch_size, STILL)
        return {n: v for n, v in found.items() if n not in said}

    def _plain(self, x: Any) -> dict[str, Any]:
        """Returns what x is fitted with if its decoder is linear."""
        said = self._said()
        return self._usual(x) | {n: v for n, v in PLAIN.items() if n not in said}

    def transform(self, X: Any) -> Any:
        """Returns X without its holes, as a new array or frame of the type of X."""
        rows = self._rows(X)  # which refuses in an estimator without a run
        given = given_of(self.run_, rows)
        given = replace(given, data=keyed(given.data))
        return completed(self.run_, given, method=self.method).data


def _is_table(x: Any) -> bool:
    return is_frame(x) or x.ndim == 2


def _bound(run: Run) -> float:
    """Returns the highest bound on the validation rows, in nats a row."""
    return run.history.best.valid_elbo if run.history.best is not None else -np.inf
