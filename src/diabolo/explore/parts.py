"""Colours and maps of a scene: what is told of each, and how and when it is made.

Shapes: n rows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..distributions import REALS
from ..errors import DiaboloError
from ..panels import NotApplicable
from ..panels._rows import SAMPLES, Rows, plane, principal
from .items import Items

if TYPE_CHECKING:
    from ..evaluate import Estimate

__all__ = ["Part", "State", "colours", "maps"]

State = Literal["ready", "later", "failed"]

PATIENCE = 0.5  # seconds for measures before the page is shown; what takes longer comes later
TRIED = 100  # rows on which that is tried out
COLUMNS = 200  # columns of a table that are colours
NEIGHBOURS = 30.0  # perplexity of t-SNE
SPREAD = 20_000  # rows that t-SNE takes at most
INDICATORS = 1024  # of the levels of all elements, from which a map is made


@dataclass(eq=False)
class Part:
    """A colour or a map: what is told of it, and how it is made.

    Arguments:
        name: Its name, and that of its array.
        facts: What the page is told.
        make: Returns its array: (n,) of a colour, (n, 2) of a map.
        state: Whether it is there.
        array: It, once it is made.
        errors: Returns the standard error of each of its numbers, NaN where it is not known; None
            where numbers have none.
        error: Its errors, once they are made.
    """

    name: str
    facts: dict[str, Any]
    make: Callable[[], NDArray[Any]]
    state: State = "later"
    array: NDArray[np.float32] | None = None
    errors: Callable[[], NDArray[Any]] | None = None
    error: NDArray[np.float32] | None = None

    def fill(self) -> State:
        """Makes the array, unless it is there; what cannot be made says why."""
        if self.state == "later":
            try:
                self.array = np.ascontiguousarray(self.make(), dtype=np.float32)
                if self.errors is not None:
                    self.error = np.ascontiguousarray(self.errors(), dtype=np.float32)
                self.state = "ready"
            except DiaboloError as error:
                self.facts["about"], self.state = str(error), "failed"
        return self.state


def maps(rows: Rows) -> list[Part]:
    """Returns the maps of codes: a linear one at once, and later one by neighbours."""
    levels = rows.run.model.levels
    if all(levels) and len(rows) >= 3 and sum(levels) <= INDICATORS:
        return [_by_levels(rows, levels)]
    try:
        flat = plane(rows)
    except NotApplicable as error:
        facts = {"title": "Map", "about": str(error), "linear": None}
        return [Part("pca", facts, lambda: np.zeros((0, 2)), "failed")]
    shown = list(flat.elements)
    title, about = "Latent plane", "The means of the continuous latent elements as they are."
    if len(shown) > 2:
        title = "Principal components"
        about = f"Two directions that hold {flat.share.sum():.0%} of the codes' variance."
    elif len(shown) == 1:
        about = "The one continuous latent element; the height is random."
    linear = {"mean": flat.mean, "axes": flat.axes}
    facts = {"title": title, "about": about, "linear": linear, "names": list(flat.names)}
    maps = [Part("pca", facts, lambda: flat.points)]
    maps[0].fill()
    if len(shown) > 2 and len(rows) >= 10:
        about = "Neighbours stay neighbours; distances between far points mean little."
        facts = {"title": "t-SNE", "about": about, "linear": None, "names": ["", ""]}
        maps.append(Part("tsne", facts, lambda: _spread(rows.codes[:, shown])))
    return maps


def _by_levels(rows: Rows, levels: Sequence[int]) -> Part:
    """Returns the map of codes whose elements are all discrete: of whether each level is taken."""
    codes = rows.codes.astype(np.int64)
    taken = np.concatenate([np.eye(n)[codes[:, i]] for i, n in enumerate(levels)], axis=1)
    mean, axes, share = principal(taken)
    held = "" if np.isnan(share).any() else f", that hold {share.sum():.0%} of its variance"
    about = f"Two directions of which levels a code takes{held}. Places between have no code."
    names = [f"principal component {i}" for i in (1, 2)]
    facts = {"title": "Principal components", "about": about, "linear": None, "names": names}
    part = Part("pca", facts, lambda: (taken - mean) @ axes.T)
    part.fill()
    return part


def colours(rows: Rows, items: Items) -> list[Part]:
    """Returns what points can be coloured by: label, columns, measures.

    Arguments:
        rows: The rows, and how they are measured.
        items: How they are told.
    """
    told = []
    if rows.labels is not None:
        levels = list(rows.classes) or None
        title = rows.run.schema.label
        values = rows.labels
        told.append(_colour("label", title, levels, None, "The label.", lambda: values))
    for i, column in enumerate(items.describe()["columns"][:COLUMNS]):
        levels = ["no", "yes"] if column["kind"] == "boolean" else column["levels"]
        make = _column(items.values, i)
        facts = (column["name"], levels, column["unit"], "A column of the data.")
        told.append(_colour(f"column{i}", *facts, make))
    for part in told:
        part.fill()
    return [*told, *_measures(rows)]


def _measures(rows: Rows) -> list[Part]:
    """Returns the measures of each row; those that are quickly made are."""
    model = rows.run.model

    def measure(name: str, title: str, about: str) -> Part:
        part = _colour(
            name, title, None, "nats", about, lambda: _estimate(rows, name).per_datum.numpy()
        )
        return replace(part, errors=lambda: _errors(_estimate(rows, name)))

    left = "-log p(x|z): what the code leaves open"
    parts = [measure("distortion", "Distortion", f"{left}.")]
    if not model.deterministic:
        drawn = f"the mean of {SAMPLES} draws of z"
        if model.exact:
            drawn = f"over all {model.enumerates} values of z"
        parts = [
            measure("rate", "Rate", "KL(q(z|x) || p(z)): what the code tells."),
            measure("distortion", "Distortion", f"{left}; {drawn}."),
            measure("bound", "Bound", f"The ELBO, a lower bound on log p(x); {drawn}."),
        ]
    few = Rows(rows.run, rows.data.take(torch.arange(min(TRIED, len(rows)))))
    began = time.perf_counter()
    _ = few.distortion
    if (time.perf_counter() - began) * len(rows) / len(few) < PATIENCE:
        for part in parts:
            part.fill()
    if not any(model.levels) and model.space == REALS:
        about = (
            "How far the code is from those of the training data, or of these rows where they are "
            "gone, in standard deviations."
        )
        facts = ("Latent distance", None, "sd", about)
        parts.append(_colour("latent_distance", *facts, lambda: _distance(rows)))
    if not model.deterministic:
        about = (
            f"Importance-weighted, {rows.likelihood} samples: a lower bound that is near log p(x)."
        )
        parts.append(measure("log_likelihood", "Log-likelihood", about))
    return parts


def _estimate(rows: Rows, measure: str) -> Estimate:
    found = rows.estimate(measure)
    assert found is not None
    return found


def _errors(found: Estimate) -> NDArray[Any]:
    each = found.per_datum_stderr
    return np.full(found.n, np.nan) if each is None else each.numpy()


def _distance(rows: Rows) -> NDArray[Any]:
    from ..tasks.scores import SCORES  # brings SciPy's and scikit-learn's along, for seconds
    from ..tasks.scores._subject import Normal, Subject

    def trained() -> Any:
        with contextlib.suppress(DiaboloError):  # data that are gone, or are others now
            return rows.run.data("train")
        return None

    subject = Subject(rows.run.model, rows.run.schema, Normal(lambda: rows.data, trained))
    return SCORES.build("latent_distance", subject)(rows.data, 0).numpy()


def _colour(
    name: str,
    title: str,
    levels: list[str] | None,
    unit: str | None,
    about: str,
    make: Callable[[], NDArray[Any]],
) -> Part:
    kind = "number" if levels is None else "levels"
    facts = {"title": title, "kind": kind, "levels": levels, "unit": unit, "about": about}
    return Part(name, facts, make)


def _column(values: NDArray[Any], i: int) -> Callable[[], NDArray[Any]]:
    return lambda: values[:, i]


def _spread(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the t-SNE map of codes, (n, 2)."""
    from sklearn.manifold import TSNE

    if len(codes) > SPREAD:
        raise DiaboloError(f"t-SNE takes {SPREAD} rows at most here: show fewer, --rows {SPREAD}.")
    perplexity = min(NEIGHBOURS, (len(codes) - 1) / 3)
    # A third of the defaults' time, at the same trustworthiness (0.992 for the codes of MNIST).
    quick: dict[str, Any] = {"angle": 0.8, "max_iter": 500, "n_jobs": 1}
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0, **quick).fit_transform(codes)
