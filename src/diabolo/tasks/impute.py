"""Holes in a user's data, filled in by a run: the best guess, intervals, and several whole tables.

Shapes: n rows, S the layout of one datum as the user gave it, M draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..data import Data, Schema
from ..data.hub import is_dataset
from ..data.memory import as_array, from_frame
from ..data.readers.table import as_it_is, is_table
from ..data.table import eager, is_frame, label_values
from ..distributions import REALS
from ..errors import DiaboloError, DiaboloWarning, unknown
from ..evaluate import Completion, Middle, Precision, complete
from ..latents import Amortized
from ..posteriors.experts import ExpertsPosterior
from ..run import Run
from ..run.asked import as_data

__all__ = ["Given", "Imputation", "completed", "given_of", "impute", "method_for"]

FEW = 10  # effective draws below which weights say little
OFTEN = 0.05  # the part of the rows with so few that is worth a sentence


@dataclass(frozen=True, eq=False)
class Imputation:
    """Data without holes, and how well the holes are known.

    Arguments:
        data: The data with the best guess in each hole, of the type that was given; arrays and
            tensors as an array (n, *S). What was seen is what it was, bit for bit.
        method: How the conditional was found.
        draws: M such data, with independent draws of p(unseen | seen) in the holes.
        missing: Where the holes were, (n, *S).
        low: The lower end of each hole's interval, (n, *S), float64; NaN elsewhere and at classes.
            Of a table, levels of text are their codes, and dates days since the first.
        high: The upper end, likewise.
        certainty: The probability of the class that was filled in, (n, *S); NaN elsewhere and at
            numbers.
        ess: The effective sample size of the importance weights of each row, (n,), NaN at rows
            without holes; None where nothing was weighed.
        acceptance: The part of the moves of each row's chains that was accepted, likewise.
        notes: Sentences on what to be careful with.
    """

    data: Any
    method: str
    draws: tuple[Any, ...]
    missing: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    certainty: NDArray[np.float64]
    ess: NDArray[np.float64] | None = None
    acceptance: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


def impute(
    run: Run,
    data: Any,
    *,
    mask: ArrayLike | Tensor | None = None,
    draws: int = 0,
    method: str | None = None,
    point: Middle = "mean",
    interval: float = 0.9,
    labels: Any = None,
    condition: Any = None,
    seed: int = 0,
    precision: Precision = "float32",
    progress: Callable[[float], None] | None = None,
) -> Imputation:
    """Returns data with their holes filled in by what the model makes of the rest of each row.

    Missing entries need not have been missing in training, but a run that was fitted on data with
    holes (`missing="nan"`) infers z from the others better. One guess for each hole has the least
    error, and less spread than the data: for statistics of a filled table take several `draws`,
    analyse each and pool the results (Rubin, 1987).

    References:
        | Multiple Imputation for Nonresponse in Surveys (Rubin, 1987)
        | https://doi.org/10.1002/9780470316696

    Arguments:
        run: A run of a model with a likelihood.
        data: Rows (n, *S) as those that were fitted, where NaN or a frame's null is a hole: an
            array, a tensor or a frame; the path of a table, which comes back as an Arrow table
            with all its columns, or of other data; or `Data`, of which a run of arrays makes an
            array and a run of tables a frame.
        mask: True where an entry was seen, (n, *S) or (*S,), for holes that are not NaN.
        draws: The number M of whole data to draw beside the best guess.
        method: How the conditional is found, as in `evaluate.complete`: `importance(k=500)`,
            `gibbs(chains=10, sweeps=60)`. None weighs draws where the run was fitted on data with
            holes, so that q knows them, and else runs chains where z is one vector of numbers.
        point: The guess of a number: the conditional `mean` or `median`. Ordered levels take the
            median and classes the most probable one.
        interval: The nominal probability of the intervals.
        labels: Labels of the rows, where the model is conditional on labels; of a file also the
            column or the key that holds them.
        condition: Their conditions, where these are not labels.
        seed: Keys the draws.
        precision: The type in which networks compute.
        progress: Called with the part that is done, from 0 to 1.

    Raises:
        DiaboloError: If the data or the mask are not like those that were fitted, the model is
            deterministic, or an argument is out of range or of no effect.
    """
    given = given_of(run, data, mask, labels, condition)
    return completed(
        run,
        given,
        method=method,
        draws=draws,
        point=point,
        interval=interval,
        seed=seed,
        precision=precision,
        progress=progress,
    )


def completed(run: Run, given: Given, *, method: str | None = None, **options: Any) -> Imputation:
    """Returns data that were read, with their holes filled in.

    Arguments:
        run: The run by whose schema they were read.
        given: What `given_of` made of them.
        method: As for `impute`.
        options: Those of `evaluate.complete`.
    """
    method = method_for(run) if method is None else method
    found = complete(run.model, given.data, method=method, **options)

    def numbers(values: Tensor) -> NDArray[np.float64]:
        gap = values.isnan()
        told = run.schema.array(torch.where(gap, found.best, values))
        told = told if run.schema.table is None else run.schema.table.shown(told)
        known = run.schema.outside((~gap).numpy(), False)
        return given.spread(found.rows, np.where(known, told, np.nan))

    def by_row(values: Tensor | None) -> NDArray[np.float64] | None:
        if values is None:
            return None
        out = np.full(len(given.hole), np.nan)
        out[found.rows.numpy()] = values.double().numpy()
        return out

    certainty = run.schema.outside(found.certainty.double().numpy(), np.nan)
    return Imputation(
        data=given.filled(found.rows, run.schema.array(found.best)),
        method=method,
        draws=tuple(given.filled(found.rows, run.schema.array(x)) for x in found.draws),
        missing=given.hole,
        low=numbers(found.low),
        high=numbers(found.high),
        certainty=given.spread(found.rows, certainty),
        ess=by_row(found.ess),
        acceptance=by_row(found.acceptance),
        notes=_notes(run, given, found),
    )


@dataclass(frozen=True, eq=False)
class Given:
    """A user's data: as they are, and as the model reads them.

    Arguments:
        raw: The data, whatever they are: an array (n, *S) or a frame.
        hole: Where they are to be filled in, (n, *S).
        data: The model's own.
        schema: How they were read.
    """

    raw: Any
    hole: NDArray[np.bool_]
    data: Data
    schema: Schema

    def spread(self, rows: Tensor, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns values of some rows (R, *S) in their holes, NaN elsewhere, (n, *S)."""
        out = np.full(self.hole.shape, np.nan)
        out[rows.numpy()] = values
        out[~self.hole] = np.nan
        return out

    def filled(self, rows: Tensor, values: NDArray[Any]) -> Any:
        """Returns the data with their holes filled in from these rows, (R, *S)."""
        new = self.spread(rows, values)
        flat, hole = new.reshape(len(new), -1), self.hole.reshape(len(new), -1)
        for i, value in self.schema.constants:
            flat[hole[:, i], i] = np.nan if value is None else value
        if new.ndim == 2:
            new = self.schema.stepped(new)
        if is_frame(self.raw):
            return _filled_frame(self.raw, self.schema, self.hole, new)
        if self.schema.table is not None:
            new = self.schema.table.shown(new)
        out = self.raw.copy()
        some = new[self.hole]
        out[self.hole] = np.rint(some) if out.dtype.kind in "iub" else some
        return out


def _filled_frame(
    frame: Any, schema: Schema, hole: NDArray[np.bool_], new: NDArray[np.float64]
) -> Any:
    """Returns a frame with holes (n, D) of its columns filled in; the rest is what it was."""
    table = eager(frame)
    changed = []
    own = {str(c): c for c in table.columns}  # names that may be numbers
    for j, name in enumerate(schema.columns):
        at = np.nonzero(hole[:, j])[0]
        column, values = table.get_column(own[name]), new[at, j]
        if not np.isnan(values).all():
            if schema.table is not None:  # levels, dates and whole numbers, as in training
                values = np.array(schema.table.columns[j].decode(values).to_pylist())
            if column.dtype.is_integer():
                values = np.rint(values.astype(float)).astype(np.int64)
            changed.append(_put(column, at, values).alias(own[name]))
    return table.with_columns(*changed).to_native() if changed else table.to_native()


def _put(column: nw.Series[Any], at: NDArray[np.int64], values: NDArray[Any]) -> nw.Series[Any]:
    """Returns a column with values in its holes, of its own type where that can hold them."""
    new, kind = values.tolist(), column.dtype
    if column.implementation.is_pyarrow():  # its scatter knows one type of text only
        old = column.to_native()
        known = None if pa.types.is_null(old.type) else old.type
        more = pa.array(new, known, from_pandas=True)
        rows = np.arange(len(old))
        rows[at] = len(old) + np.arange(len(at))
        both = pa.chunked_array([*old.cast(more.type).chunks, more]).unify_dictionaries()
        return nw.from_native(both.take(pa.array(rows)), series_only=True)
    worded = kind.is_float() and values.dtype.kind not in "iuf"
    if kind == nw.Unknown or (worded and len(at) == len(column)):  # no value, and so no type
        return nw.new_series(column.name, new, backend=column.implementation)
    if worded:
        new = values.astype(float).tolist()
    more: Any = new
    if kind.is_integer() or (kind == nw.Datetime and column.implementation.is_polars()):
        # pandas knows int64 only, and polars dates in microseconds, whatever the column is.
        more = nw.new_series(column.name, new, kind, backend=column.implementation)
    return column.scatter(at.tolist(), more)


def given_of(
    run: Run, x: Any, mask: Any = None, labels: Any = None, condition: Any = None
) -> Given:
    """Returns a user's data with their holes, read as the run's own but for these.

    Arguments are those of `impute`.

    Raises:
        DiaboloError: If they are not like those that were fitted, or the mask has another shape.
    """
    schema = replace(run.schema, missing="nan")
    if isinstance(x, str | Path):
        x, labels = _opened(Path(x).expanduser(), x, labels)
    known = None
    if isinstance(x, str | Path | Data) or is_dataset(x):
        data = as_data(replace(run, schema=schema), x, labels, condition)
        values = torch.cat([b.x for b in data.batches(500)])
        masks = [m.cpu() for m in data.masks()]
        mask_ = torch.cat(masks) if masks else None
        raw = schema.restore(values, mask=mask_) if schema.table else schema.array(values).copy()
        shape = (len(values), *schema.shape)
        seen = np.ones(shape, bool) if mask_ is None else schema.outside(mask_.numpy(), True)
        read: Any = data
    elif is_frame(x):
        raw = x
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DiaboloWarning)
            values = as_array(schema.numbered(from_frame(x, columns=schema.columns).train).x)
        seen = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
        known = _there(x, schema.columns)  # levels that training had not too
        read = x
    else:
        raw = read = as_array(x)
        seen = ~np.isnan(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
    kept = seen if known is None else known
    if mask is not None:
        own = _as_mask(mask, seen.shape)
        seen, kept = seen & own, kept & own
        if isinstance(raw, np.ndarray) and raw.dtype.kind == "f" and not isinstance(read, Data):
            read = np.where(seen, raw, np.nan)  # what stands in a hole may be anything
    with warnings.catch_warnings():  # other columns of a frame stay what they are
        warnings.simplefilter("ignore", DiaboloWarning)
        data = as_data(replace(run, schema=schema), read, labels, condition)
    data = replace(data, mask=torch.from_numpy(np.ascontiguousarray(schema.inside(seen))))
    return Given(raw, ~kept, data, schema)


def _opened(path: Path, x: Any, labels: Any) -> tuple[Any, Any]:
    """Returns what is in a file of a table or an array, as it is there, and its labels.

    Raises:
        DiaboloError: If there is no such column of labels, or the table is damaged.
    """
    if path.is_file() and is_table(path):
        table = as_it_is(path)
        if not isinstance(labels, str):
            return table, labels
        if labels not in table.column_names:
            raise unknown("column", labels, table.column_names)
        return table, label_values(table[labels])
    if path.is_file() and path.suffix.lower() == ".npy" and not isinstance(labels, str):
        try:
            return np.load(path, allow_pickle=False), labels
        except (OSError, ValueError):
            return x, labels  # the reader says what is wrong with it
    return x, labels


def _there(frame: Any, columns: tuple[str, ...]) -> NDArray[np.bool_]:
    """Returns where a frame has a value, (n, D)."""
    table = eager(frame)
    out = np.ones((len(table), len(columns)), bool)
    own = {str(c): c for c in table.columns}
    for j, name in enumerate(columns):
        column = table.get_column(own[name])
        gap = column.is_null()
        if column.dtype.is_float():
            gap = gap | column.is_nan().fill_null(True)
        out[:, j] = ~gap.to_numpy().astype(bool)
    return out


def _as_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Returns a mask for data of this shape, (n, *S)."""
    found = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if found.dtype != bool and not (
        found.dtype.kind in "iuf" and bool(((found == 0) | (found == 1)).all())
    ):
        raise DiaboloError("mask is True (1) where an entry was seen, else False (0).")
    if found.shape not in (shape, shape[1:]):
        raise DiaboloError(
            f"mask needs the shape of the data, {shape}, or that of one datum, {shape[1:]}, but "
            f"has {found.shape}."
        )
    return np.broadcast_to(found.astype(bool), shape)


def method_for(run: Run) -> str:
    """Returns the method that suits a run: q of whole data is too narrow where there are holes."""
    plain = run.model.space == REALS and len(run.model.groups) == 1
    plain = plain and run.model.enumerates is None and not any(run.model.levels)
    chains = plain and not run.spec.missing and not run.model.likelihood.family.given
    return "gibbs" if chains else "importance"


def _notes(run: Run, given: Given, found: Completion) -> tuple[str, ...]:
    """Returns what to be careful with."""
    notes = []
    few = 0.0 if found.ess is None or not len(found.ess) else (found.ess < FEW).double().mean()
    if few > OFTEN:
        advice = "ask for more draws, importance(k=5000), or use the method 'gibbs'"
        if not run.spec.missing:
            advice += ", or fit the run with missing='nan' on data with holes"
        notes.append(
            f"For {100 * float(few):.0f} % of the rows with holes, fewer than {FEW} of the draws "
            f"that were weighed count: {advice}."
        )
    latent = run.model.latent
    own = isinstance(latent, Amortized) and isinstance(latent.posterior, ExpertsPosterior)
    if run.spec.missing and len(run.spec.event) == 1 and len(found.rows) and not own:
        notes.append(
            "Holes of tables are filled in better, as a rule, by a run that was fitted for them: "
            "recipe iwae with k=5 and posterior=experts."
        )
    hole = given.hole.reshape(len(given.hole), -1)
    for i, value in given.schema.constants:
        if value is None and hole[:, i].any():
            notes.append(
                f"{given.schema.column(i).capitalize()} was never seen in training: its holes stay."
            )
    return tuple(notes)
