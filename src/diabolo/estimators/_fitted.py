"""What every estimator shares: reading X, fitting a run, and a pickle that holds the run's files.

After training the model computes in float64, so that what is said of a row does not depend on the
rows beside it; noise of an estimate is keyed by the row's values for the same reason.

Shapes: n rows, S the shape of one row.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,  # pyrefly: ignore [missing-module-attribute] (old stubs)
)
from torch import Tensor

from ..data import Data
from ..data.decode import Decoder
from ..data.mapped import Mapped
from ..data.table import eager, is_frame
from ..errors import DiaboloError
from ..model import Recipe
from ..noise import Noise
from ..recipes import RECIPES
from ..registry import keywords
from ..run import Run, fit, load
from ..run.asked import as_data
from ..run.folder import HISTORY, RUN, WEIGHTS

__all__ = ["Fitted", "epochs_of", "keyed", "options_of", "reading"]

FILES = (RUN, WEIGHTS, HISTORY)
LARGEST = 2**31 - 1
KINDS = {"kinds", "data.kinds"}
SEEN = 0.9  # the part of the rows that is trained on


@dataclass(frozen=True)
class Doubled(Decoder):
    """Decodes to float64.

    Arguments:
        decoder: What decodes.
    """

    decoder: Decoder

    def __call__(self, stored: Tensor, noise: Noise) -> Tensor:
        """Returns x as a model in float64 reads it, (B, *E)."""
        return self.decoder(stored, noise).double()


class Fitted(BaseEstimator):
    """An estimator that holds a run of a recipe; abstract: a final class writes `__init__`.

    Attributes:
        run_: The fitted run, all of whose methods can be used.
        n_features_in_: The number of columns, the first axis of a row.
    """

    made_anew: ClassVar[tuple[str, ...]] = ()  # what follows from the rest, and is not pickled
    recipe: Any  # a name, a function, or None where the estimator has its own
    latent: int | None
    epochs: int | None
    batch_size: int
    learning_rate: float | None
    options: Mapping[str, Any] | None
    random_state: Any
    run_: Run

    def _train(
        self, X: Any, usual: Callable[[Any], Mapping[str, Any]] | None = None, **more: Any
    ) -> Run:
        """Returns a run fitted to X; options of the user's go before all others.

        Arguments:
            X: What the user gave.
            usual: Returns options that follow from the rows as they are read.
            more: Options of the estimator.
        """
        x = self._rows(X, reset=True)
        seed = int(check_random_state(self.random_state).randint(LARGEST))
        own: dict[str, Any] = {
            "batch_size": self.batch_size,
            "data.seed": seed,
            "train.seed": seed,
            **({} if is_frame(x) else reading(x)),
        }
        for name in ("epochs", "learning_rate", "latent"):
            if getattr(self, name) is not None:
                own[name] = getattr(self, name)
        if KINDS & set(self.options or {}):  # each column has a support of its own
            own.pop("support", None)
        more = {**({} if usual is None else usual(x)), **more}
        recipe = more.pop("recipe", None) or self.recipe or "vae"
        run = fit(x, recipe, **{**own, **more, **(self.options or {})})
        self.n_iter_ = len(run.history.rows)
        run.splits = None  # a pipeline that is kept keeps no data
        run.model.double()
        return run

    def _rows(self, X: Any, *, reset: bool = False, frames: bool = False) -> Any:
        """Returns X checked as scikit-learn does: an array (n, *S), or a frame of mixed columns.

        Arguments:
            X: What the user gave.
            reset: Whether it is fitted, and not compared with what was fitted.
            frames: Whether a frame of nothing but numbers stays one, too.
        """
        if not reset:
            check_is_fitted(self, "run_")
        checks: dict[str, Any] = {
            "allow_nd": True,
            "ensure_all_finite": "allow-nan",
            "ensure_min_samples": 2 if reset else 1,
        }
        if not is_frame(X):
            return validate_data(self, X, reset=reset, **checks)
        validate_data(self, X, reset=reset, skip_check_array=True)
        table: Any = eager(X)
        kinds = KINDS & set(self.options or {})
        if frames or kinds or not all(kind.is_numeric() for kind in table.schema.values()):
            return X
        return check_array(table.to_numpy(), **checks)

    def _keyed(self, X: Any) -> Data:
        """Returns X as the model's data, whose noise is a function of each row's values."""
        rows = self._rows(X)  # which refuses in an estimator without a run
        return keyed(as_data(self.run_, rows, None, None))

    def _typed(self, found: Any, X: Any) -> Any:
        """Returns numbers in the type of X, where that is float32, as scikit-learn's own do."""
        narrow = isinstance(found, np.ndarray) and getattr(X, "dtype", None) == np.float32
        return found.astype(np.float32) if narrow else found

    def __sklearn_tags__(self) -> Any:
        tags: Any = super().__sklearn_tags__()  # pyrefly: ignore [missing-attribute] (old stubs)
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Returns the parameters, and the run as the bytes of its files: nothing of torch."""
        state = {k: v for k, v in super().__getstate__().items() if k not in self.made_anew}
        run = state.pop("run_", None)
        if run is not None:
            with tempfile.TemporaryDirectory() as place:
                folder = replace(run).save(Path(place) / "run")
                state["run_files_"] = {name: (folder / name).read_bytes() for name in FILES}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Reads a run from its files, by `load`: JSON and safetensors, no code."""
        state = dict(state)
        files = state.pop("run_files_", None)
        super().__setstate__(state)
        if files is None:
            return
        if set(files) != set(FILES):
            raise DiaboloError(f"A pickled run has the files {', '.join(FILES)}, not others.")
        with tempfile.TemporaryDirectory() as place:
            for name in FILES:
                (Path(place) / name).write_bytes(files[name])
            run = load(place, recipe=self.recipe if callable(self.recipe) else None)
        run.folder = None
        self.run_ = run


def options_of(recipe: str | Callable[..., Recipe]) -> set[str]:
    """Returns the options of a recipe; none of one that is unknown, which `fit` refuses."""
    if isinstance(recipe, str):
        name, _, _ = recipe.partition("(")
        if name not in RECIPES.names():
            return set()
        recipe = RECIPES.load(name)
    return set(keywords(recipe))


def epochs_of(rows: int, batch_size: int, steps: int) -> int:
    """Returns how many epochs of a table with so many rows take about so many steps."""
    return max(1, round(steps / max(1, int(SEEN * rows) // batch_size)))


def reading(x: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns how an array is read: a matrix of floats holds real numbers, whatever their range."""
    found: dict[str, Any] = {}
    if x.dtype.kind == "f":
        if x.ndim == 2:
            found["support"] = "real"
        if np.isnan(x).any():
            found["missing"] = "nan"
    return found


def keyed(data: Data) -> Data:
    """Returns data in float64 whose noise is a function of each row's values, not of its place."""
    return replace(data, index=_digests(data), decoder=Doubled(data.decoder))


def _digests(data: Data) -> Tensor:
    """Returns a number for each row that is a function of its stored values and mask, (n,)."""
    parts = []
    for part in (data.x, data.mask):
        if part is not None:
            part = part.gather(np.arange(len(part))) if isinstance(part, Mapped) else part.numpy()
            parts.append(np.ascontiguousarray(part).reshape(len(part), -1))
    keys = [
        hashlib.blake2b(b"".join(p[i].tobytes() for p in parts), digest_size=8).digest()
        for i in range(len(data))
    ]
    return torch.from_numpy(np.frombuffer(b"".join(keys), np.int64) >> 1)
