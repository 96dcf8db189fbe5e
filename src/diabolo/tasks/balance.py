r"""Rare classes filled up with rows that a conditional model draws.

.. math:: x \sim p(x \mid z, y), \qquad z \sim p(z \mid y)

A model of all classes knows of a rare one what its rows say, and what classes share. Whether that
helps a classifier is another question, which `referee` answers for the table at hand.

Shapes: n rows, m drawn rows, S the layout of one row, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..config import DataConfig
from ..data.loading import load
from ..data.memory import as_array
from ..data.table import Column, eager, is_frame, left_out_note
from ..errors import DiaboloError, unknown, whole
from ..model import Recipe
from ..noise import mix_seed
from ..run import Run, fit
from ._classes import Classes, classes_of, copies_of, refuse_names

__all__ = ["Balanced", "Strategy", "balance", "taken"]

Strategy = Literal["auto"] | float | Mapping[Any, int]

HELD = 0.1  # the part of each class that selects the weights
REPEATS = 20  # times a row of a rare class is shown in one epoch, at most
STEPS = 2000  # of training at most
# How a model of a table is made where nothing else is said; images have what recipes have.
TABLE: Mapping[str, Any] = {"latent": 8, "net": "mlp(hidden=(128, 128))", "compile": "off"}
TRAIN: Mapping[str, Any] = {
    "batch_size": 128,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "patience": 20,
}


@dataclass(frozen=True, eq=False)
class Balanced:
    """Rows with their labels, those that were given first, those that were drawn after them.

    Arguments:
        x: (n + m, *S), of the kind that was given: a frame, or an array.
        y: The labels (n + m,), of the kind that was given.
        drawn: True where a row was drawn, (n + m,).
        counts: How many rows were drawn, by the name of their class.
        run: The model that drew them; None where nothing was lacking.
    """

    x: Any
    y: Any
    drawn: NDArray[np.bool_]
    counts: Mapping[str, int]
    run: Run | None


def balance(
    x: Any,
    y: Any,
    recipe: str | Callable[..., Recipe] = "cvae",
    *,
    sampling_strategy: Strategy = "auto",
    even: bool = True,
    mean: bool | None = None,
    seed: int = 0,
    progress: Callable[[Any], object] | None = None,
    **options: Any,
) -> Balanced:
    """Returns the rows and, after them, as many drawn ones as their classes lack.

    A tenth of each class selects the weights and is not trained on; all rows are in the result.
    Columns of whole numbers get whole numbers, and those of a frame the steps of their values.

    Arguments:
        x: Rows (n, *S): a table as array or data frame, or images. A matrix of floats holds real
            numbers, whatever their range.
        y: A label for each row.
        recipe: As for `fit`: one that draws by class, `cvae` or `m2`.
        sampling_strategy: As in imbalanced-learn: `auto` brings each class to the size of the
            largest, a number to that part of it, a mapping says how many rows a class shall have.
        even: Show rows of rare classes more often in training, up to twenty times an epoch.
        mean: Take the mean of p(x | z, y) for each drawn z, which tells classes better, instead of
            a draw; None does so unless there are categories or ordered levels, which have none.
        seed: The seed of training and draws.
        progress: Called as `fit` does.
        options: Options of `fit`, such as `latent=4` or `epochs=100`.

    Raises:
        DiaboloError: If labels are no classes, there is one only or one for each row, rows are
            not to be learned from, or an option has no effect.
    """
    seed = whole("seed", seed)
    frame = is_frame(x)
    rows: Any = eager(x) if frame else as_array(x)
    classes = classes_of(y, len(rows))
    refuse_names(classes)
    lacking = _lacking(classes, sampling_strategy)
    for name in ("labels", "condition", "valid", "out", "force"):
        if name in options:
            raise DiaboloError(f"'{name}' is no option of balance: leave it out.")
    if progress is not None:
        for sentence in copies_of(classes, rows):
            progress(sentence)
    if not lacking.any():
        return Balanced(x, y, np.zeros(len(rows), bool), {}, None)
    train, valid = _parts(classes, even, seed)
    names = np.array(classes.names)[classes.codes]

    # What names rows is found in all of them: rows that are shown again are no names any more.
    left = _left_out(rows, options) if frame else ()
    read: Any = rows.drop(*(name for name, _ in left)) if left else rows
    if left and progress is not None:
        progress(left_out_note(left))

    def part(at: NDArray[np.int64]) -> Any:
        return taken(read, at)

    run = fit(
        part(train),
        recipe,
        labels=names[train],
        condition="labels",
        valid=(part(valid), names[valid]),
        progress=progress,
        **_settings(rows, len(train), seed, options),
    )
    if mean is None:
        mean = run.spec.support not in ("category", "ordinal", "mixed")
    parts = [
        run.sample(int(m), label=name, mean=mean, seed=mix_seed(seed, 7, code))
        for code, (name, m) in enumerate(zip(classes.names, lacking, strict=True))
        if m
    ]
    drawn: Any = nw.concat([nw.from_native(p) for p in parts]) if frame else np.concatenate(parts)
    table = run.schema.table
    columns = {} if table is None else {c.name: c for c in table.columns}
    codes = np.arange(len(lacking)).repeat(lacking)
    return Balanced(
        x=_joined(rows, drawn, columns),
        y=_more(y, classes.values[codes]),
        drawn=np.arange(len(rows) + len(codes)) >= len(rows),
        counts={n: int(m) for n, m in zip(classes.names, lacking, strict=True) if m},
        run=run,
    )


def _left_out(rows: nw.DataFrame[Any], options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns the columns of a frame that are no data, and why, but for those that are skipped."""
    kinds = options.get("kinds", options.get("data.kinds", ()))
    table = load(rows.to_native(), DataConfig(kinds=kinds)).schema.table
    left = () if table is None else table.left_out
    return tuple((name, why) for name, why in left if why != "skipped")


def taken(rows: Any, at: NDArray[np.int64]) -> Any:
    """Returns some rows of a frame or an array."""
    return rows[at.tolist()].to_native() if isinstance(rows, nw.DataFrame) else rows[at]


def _lacking(classes: Classes, strategy: Strategy) -> NDArray[np.int64]:
    """Returns how many rows each class lacks, (C,).

    Raises:
        DiaboloError: If the strategy is none, or asks for fewer rows than there are.
    """
    counts, most = classes.counts, int(classes.counts.max())
    if isinstance(strategy, Mapping):
        wanted = counts.copy()
        for key, number in strategy.items():
            at = [i for i, v in enumerate(classes.values) if v == key or classes.names[i] == key]
            if not at:
                raise unknown("class in sampling_strategy", str(key), classes.names)
            wanted[at[0]] = whole(f"sampling_strategy of '{key}'", number, least=0)
            if wanted[at[0]] < counts[at[0]]:
                raise DiaboloError(
                    f"sampling_strategy asks for {number} rows of '{key}', which has "
                    f"{counts[at[0]]}: rows are drawn here, none is taken away."
                )
        return wanted - counts
    if strategy == "auto":
        part = 1.0
    elif isinstance(strategy, int | float) and not isinstance(strategy, bool) and 0 < strategy <= 1:
        part = float(strategy)
    else:
        raise DiaboloError(
            "sampling_strategy is 'auto', a part of the largest class above 0 and up to 1, or a "
            f"mapping from classes to numbers of rows, but got {strategy!r}."
        )
    return np.maximum(np.int64(ceil(part * most)) - counts, 0)


def _parts(classes: Classes, even: bool, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of rows that are trained on and that select the weights, in order."""
    rng = np.random.default_rng(mix_seed(seed, 8))
    members = [
        rng.permutation(np.flatnonzero(classes.codes == c)) for c in range(len(classes.names))
    ]
    held = [round(HELD * len(m)) if len(m) > 1 else 0 for m in members]
    if not sum(held):
        held[int(np.argmax(classes.counts))] = 1
    kept = [m[h:] for m, h in zip(members, held, strict=True)]
    parts = (kept, [m[:h] for m, h in zip(members, held, strict=True)])
    if even:
        parts = tuple([_repeated(m, max(map(len, part))) for m in part] for part in parts)
    return tuple(np.sort(np.concatenate(part)) for part in parts)  # type: ignore[return-value]


def _repeated(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Returns rows repeated in turn until there are `most` of them, or twenty of each."""
    return np.resize(rows, min(most, REPEATS * len(rows))) if len(rows) else rows


def _settings(rows: Any, count: int, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of `fit`, with defaults where nothing was said."""
    table = isinstance(rows, nw.DataFrame) or rows.ndim < 3
    said = {name.rpartition(".")[2] for name in options}
    size = int(options.get("batch_size", options.get("train.batch_size", TRAIN["batch_size"])))
    # A matrix of floats holds real numbers, whatever their range.
    real = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind == "f"
    reading = {"support": "real"} if real and not said & {"support", "kinds", "likelihood"} else {}
    epochs = {} if "minutes" in said else {"epochs": ceil(STEPS * size / max(size, count))}
    base = {**(TABLE if table else {}), **TRAIN, **reading, **epochs, "seed": seed}
    return {**{k: v for k, v in base.items() if k not in said}, **options}


def _joined(rows: Any, drawn: Any, columns: Mapping[str, Column]) -> Any:
    """Returns the rows that were given with the drawn ones after them, of the same kind."""
    if not isinstance(rows, nw.DataFrame):
        like = rows.reshape(len(rows), -1)
        flat = _whole(like, drawn.reshape(len(drawn), -1)).reshape(drawn.shape)
        dtype = np.result_type(rows, flat) if rows.dtype.kind == "f" else rows.dtype
        return np.concatenate([rows, flat.astype(dtype)])
    parts = []
    for own in rows.columns:
        given, name = rows.get_column(own), str(own)  # names may be numbers
        if given.dtype == nw.Unknown or given.null_count() == len(given):  # no value, or no type
            new = given[[0] * len(drawn)].shift(len(drawn))  # whose values are all missing
        elif name not in drawn.columns:  # whole numbers that name rows go on counting
            counted = given.dtype.is_integer()
            more = given.max() + 1 + np.arange(len(drawn)) if counted else [None] * len(drawn)
            new = nw.new_series(name, more, dtype=given.dtype, backend=rows.implementation)
        elif given.dtype.is_numeric():
            values = drawn[name].to_numpy()
            values = columns[name].stepped(values) if name in columns else values
            values = _whole(given.to_numpy()[:, None], values[:, None])[:, 0]
            new = nw.new_series(name, values, backend=rows.implementation)
        else:
            new = drawn[name]
        if rows.implementation.is_pyarrow():  # which has two types of text
            new = nw.from_native(new.to_native().cast(given.to_native().type), series_only=True)
            new = new.alias(name)
        else:
            new = new.cast(given.dtype)
        parts.append(nw.concat([given.to_frame(), new.alias(own).to_frame()]))
    return _named(nw.concat(parts, how="horizontal").to_native(), rows.to_native())


def _named(whole: Any, given: Any) -> Any:
    """Returns a frame or a series; where it is pandas', its further rows are numbered onwards."""
    if not nw.from_native(whole, allow_series=True).implementation.is_pandas_like():
        return whole
    index, count = given.index, len(given)
    after = max(count, index.max() + 1) if index.dtype.kind in "iu" else count
    whole.index = index.append(whole.reset_index(drop=True).index[count:] + (after - count))
    return whole


def _whole(given: NDArray[Any], drawn: NDArray[Any]) -> NDArray[Any]:
    """Rounds drawn columns (m, D) that are whole in what was given (n, D), within its range."""
    if given.dtype.kind == "b":
        return drawn > 0.5
    if given.dtype.kind not in "iuf":
        return drawn
    full = (given == np.rint(given)).all(0)  # NaN is not whole
    low, high = given.min(0), given.max(0)
    return np.where(full, np.clip(np.rint(drawn), low, high), drawn)


def _more(y: Any, values: NDArray[Any]) -> Any:
    """Returns labels with more values after them, of the kind that was given."""
    native = nw.from_native(y, pass_through=True, series_only=True)
    if native is y:
        given = np.asarray(y).reshape(-1)
        return np.concatenate([given, values.astype(given.dtype)])
    new = nw.new_series(native.name or "", values, backend=native.implementation)
    if native.implementation.is_pyarrow():  # whose dictionaries have indices of several types
        more = new.to_native().cast(y.type)
        return pa.chunked_array([*y.chunks, *more.chunks], y.type)
    both = nw.concat([native.alias("y").to_frame(), new.cast(native.dtype).alias("y").to_frame()])
    found = both["y"].alias(native.name or "").to_native()
    if native.implementation.is_pandas_like():  # which forgets categories
        found = found.astype(y.dtype)
    return _named(found, y)
