r"""A fitted model and what it can do, in NumPy arrays or data frames of the user's own layout.

A model of a table writes frames of the library that was fitted or is passed in; of a file pandas,
if that is installed, else Arrow. Codes are latent values (n, D) with D the sum over all latent
groups. Noise is keyed by (seed, row), so that no batch size, nor what is asked beside, has a part.

Shapes: n rows, D latent elements, S the layout of one datum as the user gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .. import evaluate as evaluation
from ..config import RunConfig
from ..data import Data, Schema, Splits
from ..errors import DiaboloError, unknown, whole
from ..model import LatentModel, Recipe
from ..spec import Spec
from ..train import History
from . import folder as folders
from . import measure, store, traversal, use
from .asked import as_code, as_codes, as_condition, read_split
from .latents import Latents
from .refit import refit
from .workshop import publish

__all__ = ["Run"]


@dataclass(eq=False, repr=False)
class Run:
    """A fitted model with its data's schema, its configuration and its history.

    Arguments:
        recipe: The model, what it maximised, and with how many samples.
        spec: What the recipe knew of the data.
        schema: How the user's data become the model's, and back.
        config: Everything that made the run.
        history: The rows of the training, and why it ended.
        metrics: Numbers found so far, as JSON: `valid`, `latents`, `evaluation`.
        notes: What the user was told of the data and the settings.
        prints: What each split was, by its name: count, fingerprint, source.
        computing: The device, precision and compilation that `auto` meant in training.
        folder: Where the run lies on disk, or None.
        function: What built the recipe, where its name alone does not tell.
        splits: The data in memory, or None for a loaded run.
    """

    recipe: Recipe
    spec: Spec
    schema: Schema
    config: RunConfig
    history: History = field(default_factory=History)
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    prints: Mapping[str, Any] = field(default_factory=dict)
    computing: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    function: Callable[..., Recipe] | None = None
    splits: Splits | None = None

    def __repr__(self) -> str:
        return f"Run({self.config.name} of {self.spec}, folder={self.folder})"

    @property
    def model(self) -> LatentModel:
        """The model, in evaluation mode."""
        return self.recipe.model

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @property
    def latent(self) -> int:
        """The number D of latent elements, of all groups together."""
        return sum(self.model.groups)

    @property
    def latents(self) -> Latents:
        """How each latent element is used, over the validation data.

        Raises:
            DiaboloError: If training ended before there was anything to measure.
        """
        if "latents" not in self.metrics:
            raise DiaboloError("This run has no statistics of its latents: it was not trained.")
        found = self.metrics["latents"]
        return Latents(*(np.array(found[f], dtype=np.float64) for f in Latents._fields))

    def to(self, device: torch.device | str) -> Run:
        """Moves the model to a device and returns the run itself."""
        self.model.to(device)
        return self

    def data(self, split: str = "test") -> Data | None:
        """Returns a split of the data fitted; a loaded run reads them again from their source.

        Arguments:
            split: `train`, `valid` or `test`.

        Returns:
            The data, or None if there is no such split or it was passed in memory.

        Raises:
            DiaboloError: If the data cannot be read again, or are no longer the same.
        """
        if split not in Splits._fields:
            raise unknown("split", split, Splits._fields)
        if self.splits is not None:
            return getattr(self.splits, split)
        return read_split(self, split)

    def sample(
        self,
        n: int = 16,
        *,
        label: Any = None,
        condition: Any = None,
        mean: bool = False,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
    ) -> Any:
        """Returns n new data x ~ p(x | z), z ~ p(z), (n, *S).

        Arguments:
            n: How many.
            label: For a conditional model: one label for all, or n of them, by name or code.
            condition: A condition that is no label: one for all, or n of them.
            mean: Return the mean of p(x | z) instead of a draw from it.
            seed: Keys the noise: the first rows of a larger n are the same.
            precision: The type in which networks compute: `bf16` is faster on most machines.

        Raises:
            DiaboloError: If the model has no prior, or a condition is lacking or not wanted.
        """
        n, seed = whole("n", n, least=1), whole("seed", seed)
        c = as_condition(self, n, label, condition)
        return use.sample(self, n, c, mean, seed, precision)

    def encode(
        self,
        x: Any,
        *,
        labels: Any = None,
        condition: Any = None,
        variance: bool = False,
        precision: evaluation.Precision = "float32",
    ) -> Any:
        """Returns the mean of the posterior of z for each datum, (n, D).

        Arguments:
            x: Data (n, *S) as those that were fitted: an array, a tensor, a frame, a path.
            labels: Their labels, where the model is conditional on labels.
            condition: Their conditions, where these are not labels.
            variance: Return `Codes(mean, variance)` instead.
            precision: The type in which networks compute: `bf16` is faster on most machines.

        Raises:
            DiaboloError: If x is not like the data that were fitted.
        """
        return use.encode(self, x, labels, condition, variance, precision)

    def classify(self, x: Any) -> NDArray[Any]:
        """Returns q(class | x) of each datum, (n, C); a DiaboloError if the model has none."""
        return use.classify(self, x)

    def decode(
        self,
        z: ArrayLike | Tensor,
        *,
        label: Any = None,
        condition: Any = None,
        mean: bool = True,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
    ) -> Any:
        """Returns the mean of p(x | z) for each code, or a draw from it, (n, *S).

        Arguments:
            z: Codes (n, D).
            label: For a conditional model: one label for all, or n of them.
            condition: A condition that is no label: one for all, or n of them.
            mean: Return the mean; else a draw.
            seed: Keys the noise of draws.
            precision: The type in which networks compute: `bf16` is faster on most machines.

        Raises:
            DiaboloError: If z has another shape, or a condition is lacking or not wanted.
        """
        codes = as_codes(self, z)
        c = as_condition(self, len(codes), label, condition)
        return use.decode(self, codes, c, mean, seed, precision)

    def reconstruct(
        self,
        x: Any,
        *,
        labels: Any = None,
        condition: Any = None,
        mean: bool = True,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
    ) -> Any:
        """Returns what the model makes of each datum's code, (n, *S).

        Arguments:
            x: Data (n, *S) as those that were fitted.
            labels: Their labels, where the model is conditional on labels.
            condition: Their conditions, where these are not labels.
            mean: Decode the posterior's mean to the mean of p(x | z); else draw both.
            seed: Keys the noise of draws.
            precision: The type in which networks compute: `bf16` is faster on most machines.

        Raises:
            DiaboloError: If x is not like the data that were fitted.
        """
        return use.reconstruct(self, x, labels, condition, mean, seed, precision)

    def interpolate(
        self, a: Any, b: Any, *, steps: int = 8, label: Any = None, condition: Any = None
    ) -> Any:
        """Returns data decoded along the shortest path between two codes, (steps, *S).

        That is a straight line or, where codes are directions, an arc of a great circle.

        Arguments:
            a: One datum S, which is encoded, or one code (D,); a datum of width D as (1, D).
            b: Likewise; the ends are included.
            steps: How many, 2 at least.
            label: For a conditional model: the label of both ends and of all between.
            condition: Likewise, where it is no label.

        Raises:
            DiaboloError: If an end is neither a datum nor a code.
        """
        if steps < 2:
            raise DiaboloError(f"An interpolation has 2 steps at least, not {steps}.")
        start = as_code(self, a, label, condition)
        stop = as_code(self, b, label, condition)
        part = torch.from_numpy(np.linspace(0, 1, steps, dtype=start.dtype))
        ends = torch.from_numpy(start), torch.from_numpy(stop)
        codes = self.model.space.between(*ends, part)
        return self.decode(codes, label=label, condition=condition)

    def traverse(
        self,
        x: Any = None,
        *,
        dims: Sequence[int] | None = None,
        steps: int | None = None,
        span: float | None = None,
        label: Any = None,
        condition: Any = None,
    ) -> Any:
        """Returns data decoded while one latent element moves at a time, (dims, steps, *S).

        An element runs over its mean, give or take `span` of its standard deviations under the
        aggregate posterior (for a normal prior nearly -span to span). Where codes are directions
        it ends at -1 and 1, and the others keep their proportions. A discrete element takes its
        values in order, from 0, and the last again where there are more steps.

        Arguments:
            x: A datum or code, as in `interpolate`, whose other elements stay; None: their means.
            dims: Which elements; None takes all, in the order of `run.latents.order`, but not the
                class of a model that finds it out, where that is given.
            steps: How many values, 2 at least; None is 9, or for discrete elements all of theirs.
            span: How far to go, in standard deviations, where an element is continuous; None: 3.
            label: For a conditional model: a label.
            condition: A condition that is no label.

        Raises:
            DiaboloError: If an element does not exist or cannot move, or x is no datum or code.
        """
        return traversal.traverse(self, x, dims, steps, span, label, condition)

    def score(
        self,
        x: Any,
        *,
        k: int = 100,
        labels: Any = None,
        condition: Any = None,
        marginal: measure.Marginal = False,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
        compile: evaluation.Compile = "auto",
    ) -> NDArray[np.float64]:
        """Returns the importance-weighted log-likelihood of each datum in nats, (n,).

        A lower bound in expectation that rises with k; of a conditional model, log p(x | c).

        Arguments:
            x: Data (n, *S) as those that were fitted.
            k: Posterior samples a datum.
            labels: Their labels, where the model is conditional on labels.
            condition: Their conditions, where these are not labels.
            marginal: Of a model conditional on a label, log p(x) = log sum p(c) p(x | c): True
                takes the class frequencies of the training data, or give them, (C,).
            seed: Keys the noise.
            precision: The type in which networks compute.
            compile: Whether the decoder is compiled; `auto` does so for long work on a CPU.

        Raises:
            DiaboloError: If the model is deterministic, or x is not like the data fitted.
        """
        return measure.score(self, x, k, labels, condition, marginal, seed, precision, compile)

    def evaluate(
        self,
        data: Any = None,
        *,
        method: str | None = None,
        k: int | None = None,
        labels: Any = None,
        condition: Any = None,
        marginal: measure.Marginal = False,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
        compile: evaluation.Compile = "auto",
        full: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> evaluation.Evaluation:
        """Returns bound, rate, distortion, likelihood and active units, and keeps their numbers.

        Arguments:
            data: Data (n, *S), a path, or `Data`; None takes the test or else the validation split.
            method: As in `evaluate.log_likelihood`; None takes `importance`.
            k: Samples, or chains, a datum for the likelihood; None takes 1000, or 16 chains.
            labels: Their labels, where the model is conditional on labels.
            condition: Their conditions, where these are not labels.
            marginal: Measure log p(x) instead of log p(x | c), as in `score`.
            seed: Keys the noise.
            precision: The type in which networks compute.
            compile: Whether the decoder is compiled; `auto` does so for long work on a CPU.
            full: Whether to add a diagnosis of the latent, see `evaluate.diagnose`.
            progress: Called with the part that is done of the likelihood, then of the diagnosis.

        Raises:
            DiaboloError: If there are no data to be had, they are not like those fitted, or method
                or k has no effect on the model.
        """
        given = (labels, condition, marginal, seed, precision, compile, full, progress)
        return measure.evaluate(self, data, method, k, *given)

    def sample_quality(
        self,
        data: Any = None,
        train: Any = None,
        *,
        labels: Any = None,
        condition: Any = None,
        mean: bool = False,
        features: measure.FeatureKind | None = None,
        neighbours: int = 5,
        seed: int = 0,
        precision: evaluation.Precision = "float32",
        progress: Callable[[float], None] | None = None,
    ) -> evaluation.SampleQuality:
        """Returns how good the samples are beside data, as `evaluate.sample_quality`; keeps it.

        Data, labels and condition are as in `evaluate`; None as train takes the run's own.
        """
        given = (labels, condition, mean, features, neighbours, seed, precision, progress)
        return measure.sample_quality(self, data, train, *given)

    def refit(self, data: Any = None, *, prior: str, **options: Any) -> Run:
        """Returns a new run of this encoder and decoder with a prior fitted to their codes.

        Arguments and errors are those of `diabolo.refit`: `run.refit(prior="gaussian")`.
        """
        return refit(self, data, prior=prior, **options)

    def save(self, folder: str | Path | None = None, *, force: bool = False) -> Path:
        """Writes the run into a folder, whole or not at all, and returns the folder.

        Arguments:
            folder: Where to; None brings the run's own folder up to date (its numbers).
            force: Whether a run that is there already may be replaced.

        Raises:
            DiaboloError: If something else is there, or the folder cannot be written.
        """
        if folder is None:
            if self.folder is None:
                raise DiaboloError("This run has no folder yet: name one, save('runs/name').")
            folders.rewrite(self.folder, store.store(self))
        else:
            self.folder = publish(store.store(self), Path(folder), force=force)
        return self.folder
