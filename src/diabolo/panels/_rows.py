"""What is told of each row, and its place in the plane: for figures, the report and the explorer.

Noise is keyed by row, so that what is said of a row does not depend on the rows beside it.

Shapes: n rows, D latent elements of all groups, C width of the condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg

from .. import evaluate
from ..errors import DiaboloError
from ..evaluate.bounds import element_rates
from ..run.asked import as_data, refuse_alone
from ._figure import NotApplicable
from ._run import continuous, held_out, measured

if TYPE_CHECKING:
    from ..data import Data
    from ..evaluate import Bound, Compile, Estimate
    from ..evaluate.passes import Progress
    from ..run import Codes, Run

__all__ = ["MEASURES", "MOST", "Plane", "Rows", "plane", "principal", "rows"]

MEASURES = ("rate", "distortion", "bound", "log_likelihood")  # of a row
MOST = 10_000  # rows at most, unless more are asked for
SAMPLES = 8  # posterior samples a row of rate, distortion and bound, as `evaluate.bound` takes


@dataclass(frozen=True, eq=False)
class Rows:
    """The measures of some rows; each is computed when it is first asked for, and kept.

    Arguments:
        run: Whose model measures.
        data: The rows, with the condition under which they are measured.
        likelihood: Samples k a row of `log_likelihood`; 0 for none.
        progress: Called with the part that is done of the likelihood, from 0 to 1.
        compile: Whether the decoder is compiled for it, as in `evaluate.log_likelihood`.
    """

    run: Run
    data: Data
    likelihood: int = 0
    progress: Progress | None = None
    compile: Compile = "auto"

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def _codes(self) -> Codes:
        return self.run.encode(self.data, variance=True)

    @property
    def codes(self) -> NDArray[np.float32]:
        """The mean of each posterior, (n, D); of a discrete element its most probable value."""
        return self._codes.mean

    @property
    def variance(self) -> NDArray[np.float32] | None:
        """The variance of each posterior, (n, D); None where no element has any that is known."""
        known = not self.run.model.deterministic and bool(np.isfinite(self._codes.variance).any())
        return self._codes.variance if known else None

    @cached_property
    def parts(self) -> Bound | None:
        """The bound of the rows in its parts; None for a deterministic model."""
        if self.run.model.deterministic:
            return None
        return evaluate.bound(self.run.model, self.data, samples=SAMPLES)

    @cached_property
    def _distorted(self) -> Estimate:
        if self.parts is not None:
            return self.parts.distortion
        return evaluate.distortion(self.run.model, self.data)

    def estimate(self, measure: str) -> Estimate | None:
        """Returns a measure with its errors and how it was made; None where there is none.

        Arguments:
            measure: One of `MEASURES`.
        """
        if measure == "distortion":
            return self._distorted
        if measure == "log_likelihood":
            return self.weighed
        if self.parts is None:
            return None
        return {"rate": self.parts.total_rate, "bound": self.parts.elbo}[measure]

    @property
    def rate(self) -> NDArray[np.float64] | None:
        """KL(q(z|x) || p(z)) of each row in nats, (n,), all groups together; None without any."""
        return None if self.parts is None else self.parts.total_rate.per_datum.numpy()

    @property
    def distortion(self) -> NDArray[np.float64]:
        """-log p(x|z) of each row in nats, (n,), which a deterministic model has too."""
        return self._distorted.per_datum.numpy()

    @property
    def bound(self) -> NDArray[np.float64] | None:
        """The ELBO of each row in nats, (n,); None for a deterministic model."""
        return None if self.parts is None else self.parts.elbo.per_datum.numpy()

    @cached_property
    def weighed(self) -> Estimate | None:
        """The importance-weighted log-likelihood of the rows; None where none was asked for."""
        if not self.likelihood or self.run.model.deterministic:
            return None
        return evaluate.log_likelihood(
            self.run.model,
            self.data,
            k=self.likelihood,
            compile=self.compile,
            progress=self.progress,
        )

    @property
    def log_likelihood(self) -> NDArray[np.float64] | None:
        """That of each row in nats, (n,), a lower bound in expectation; None likewise."""
        return None if self.weighed is None else self.weighed.per_datum.double().numpy()

    @cached_property
    def per_latent_rate(self) -> NDArray[np.float64]:
        """The mean rate of each latent element in nats, (D,); NaN where it does not split."""
        return element_rates(self.run.model, self.parts).numpy()

    @property
    def labels(self) -> NDArray[Any] | None:
        """The label of each row, (n,): the code of a class, -1 without, or a number; or None."""
        return None if self.data.labels is None else self.data.labels.cpu().numpy()

    def label(self, i: int) -> str | float | None:
        """Returns the label of a row, the name of its class or a number; None without one."""
        if self.labels is None:
            return None
        value = self.labels[i].item()
        if not self.classes:
            return value
        return self.classes[int(value)] if 0 <= value < len(self.classes) else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the codes of labels; () where labels are numbers."""
        return self.data.classes


def rows(
    run: Run,
    data: Any = None,
    n: int = MOST,
    *,
    likelihood: int = 0,
    labels: Any = None,
    condition: Any = None,
    split: str | None = None,
    of: Rows | None = None,
) -> Rows:
    """Returns the first n rows and what is told of each.

    Arguments:
        run: The run.
        data: What `Run.encode` takes; None takes the test split, else the validation split.
        n: How many at most.
        likelihood: Posterior samples k a row for the log-likelihood; 0 leaves it out.
        labels: Labels of the data, where the model is conditional on labels.
        condition: Their conditions, where these are not labels.
        split: With no data: this split of the run's own and no other.
        of: Rows that are measured already, which are given back.

    Raises:
        NotApplicable: If the run's own data are out of reach.
        DiaboloError: If data are not like those that were fitted, or a condition is lacking.
    """
    if (data is not None or of is not None) and split is not None:
        raise DiaboloError(
            "A split is one of the run's own data: leave it out where data are given."
        )
    refuse_alone(data, labels, condition)
    if of is not None:
        return of
    found = held_out(run, split) if data is None else as_data(run, data, labels, condition)
    few = found if len(found) <= n else found.take(torch.arange(n))
    return Rows(run, measured(run, few), likelihood)


@dataclass(frozen=True, eq=False)
class Plane:
    """Codes in the plane: points = (codes - mean) axes^T, as figures and explorer draw them.

    Arguments:
        points: (n, 2); where there is one continuous element, the height is random.
        mean: The code at the origin, (D,); of a discrete element the value that is most common.
        axes: The directions of both coordinates in codes, (2, D), of length 1; 0 where there is
            none, and at discrete elements.
        names: What the coordinates are, in plain text.
        share: The part of the variance that each of them has, (2,); NaN where they are elements.
        elements: The continuous elements, of which the plane is made.
    """

    points: NDArray[np.float32]
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    names: tuple[str, str]
    share: NDArray[np.float64]
    elements: tuple[int, ...]


def plane(rows: Rows) -> Plane:
    """Returns the map of codes: one or two elements as they are, more by principal components.

    Discrete elements are left out: their numbers are names.

    Raises:
        NotApplicable: If there are fewer than three rows, or all elements are discrete.
    """
    shown = continuous(rows.run, "A latent map")
    n = len(rows)
    if n < 3:
        raise NotApplicable(
            f"A map needs three data or more, but {n} {'was' if n == 1 else 'were'} held out."
        )
    codes, levels = rows.codes, np.array(rows.run.model.levels)
    mean = np.zeros(codes.shape[1], np.float32)
    axes = np.zeros((2, codes.shape[1]), np.float32)
    for i in np.flatnonzero(levels):
        mean[i] = np.bincount(codes[:, i].astype(np.int64)).argmax()
    share = np.full(2, np.nan)
    if len(shown) > 2:
        mean[shown], axes[:, shown], share = principal(codes[:, shown])
        points = (codes[:, shown] - mean[shown]) @ axes[:, shown].T
        names = [f"principal component {i + 1} ({share[i]:.0%} of variance)" for i in range(2)]
    elif len(shown) == 2:
        points, names = codes[:, shown], [f"z{i}" for i in shown]
        axes[[0, 1], shown] = 1.0
    else:
        jitter = np.random.default_rng(0).uniform(-0.5, 0.5, n)
        points, names = np.stack([codes[:, shown[0]], jitter], 1), [f"z{shown[0]}", "(no meaning)"]
        axes[0, shown] = 1.0
    points = np.ascontiguousarray(points, dtype=np.float32)
    return Plane(points, mean, axes, (names[0], names[1]), share, tuple(shown))


def principal(x: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Returns the mean of x (n, D), two principal directions (2, D), and their parts of variance.

    Each direction's largest element is positive, since its sign is free.
    """
    wide = x.astype(np.float64)
    mean = wide.mean(0)
    spread = np.cov(wide, rowvar=False)
    top = [len(spread) - 2, len(spread) - 1]
    found: Any = linalg.eigh(spread, subset_by_index=top)
    value, vector = found[0][::-1], found[1][:, ::-1]  # the greatest first
    sign = np.sign(vector[np.abs(vector).argmax(0), [0, 1]])
    total = np.trace(spread)
    share = value.clip(min=0.0) / total if total > 0 else np.full(2, np.nan)
    return mean, (vector * sign).T, share
