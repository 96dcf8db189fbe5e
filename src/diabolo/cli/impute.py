"""The verb `impute`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DiaboloError
from ._options import Json, Precision
from ._output import destination, write
from ._runs import open_run
from ._talk import note, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..run import Run

__all__ = ["impute"]


def impute(
    run: Path,
    data: str,
    /,
    *,
    out: Path,
    draws: int = 0,
    intervals: Path | None = None,
    mask: Path | None = None,
    labels: str | None = None,
    method: str | None = None,
    point: Literal["mean", "median"] = "mean",
    interval: float = 0.9,
    seed: int = 0,
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Fills in the holes of data: with the best guess, or with draws of what may be there.

    Of a table all columns are written, and what was seen as it was. With --draws there are as many
    whole tables in the file, one under the other, and a first column says which.

    Args:
        run: The folder of the run.
        data: A file of data like those fitted: a table with empty cells, arrays with NaN.
        out: The file; its extension gives the format: .npz (with the ends of the intervals), .npy,
            .csv, .parquet, .arrow.
        draws: Write so many whole data with draws in the holes instead of the best guess.
        intervals: A second file of the same kinds, with the ends of each hole's interval; of a
            table as values of its columns, without those that are not ordered.
        mask: A .npy file, 1 (or true) where an entry was seen: for each datum, or one for all.
        labels: For a conditional model: where the labels of DATA are (a column, an array's key).
        method: How the conditional is found: importance(k=500), or gibbs(chains=10, sweeps=60);
            left out, the one that suits the run.
        point: The best guess of a number.
        interval: The nominal probability of the intervals.
        seed: Keys the draws.
        precision: The type in which networks compute: bf16 is faster, float32 exact.
        json: Print one JSON object.
    """
    import numpy as np
    import pyarrow as pa

    from ..data.table import named, to_arrow
    from ..tasks import impute as fill
    from ._written import Written

    for place in (out, *([] if intervals is None else [intervals])):
        destination(place, picture=False)
    opened = open_run(run)
    if intervals is not None:
        destination(intervals, picture=False, several=not opened.schema.columns)
    told, without = _interval_columns(opened) if intervals is not None else ([], [])
    found = fill(
        opened,
        data,
        mask=None if mask is None else _mask(mask),
        draws=draws,
        method=method,
        point=point,
        interval=interval,
        labels=labels,
        seed=seed,
        precision=precision,
    )
    for sentence in found.notes:
        note(sentence)
    names, x = opened.schema.columns, found.data
    which = None
    if draws and isinstance(x, np.ndarray) and out.suffix.lower() in (".npz", ".npy"):
        x = np.stack(found.draws)
    elif draws:
        which = {"draw": np.repeat(np.arange(1, draws + 1), len(x))}
        arrays = isinstance(x, np.ndarray)
        x = np.concatenate(found.draws) if arrays else pa.concat_tables(map(to_arrow, found.draws))
    bounds = {"low": found.low, "high": found.high}
    holes_of = {n: np.tile(found.missing[:, i], max(1, draws)) for i, n in enumerate(names)}
    written = Written(Path(data), np.tile(np.arange(len(found.missing)), max(1, draws)), holes_of)
    write(out, {"x": x}, names=names, rows=which, beside=bounds, written=written)
    if intervals is not None:
        npz = intervals.suffix.lower() == ".npz"
        write(intervals, bounds if npz else _by_name(opened, bounds, told))
        if without:
            note(f"No intervals of {named(without)}, whose values have no order or do not vary.")
    gaps = found.missing.reshape(len(found.missing), -1).copy()
    gaps[:, [i for i, value in opened.schema.constants if value is None]] = False  # they stay
    holes, rows = int(gaps.sum()), int(gaps.any(1).sum())
    if json:
        told = {"out": str(out), "n": len(found.missing), "rows": rows, "holes": holes}
        print_json({**told, "draws": draws, "method": found.method, "seed": seed})
        return
    say(f"{holes} holes in {rows} of {len(found.missing)} rows are filled in, by {found.method}")
    say(f"{f'{draws} whole data' if draws else 'the data'} are in {out}")


def _mask(path: Path) -> np.ndarray:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        raise DiaboloError(f"--mask is a .npy file of ones and zeros, but got '{path}'.") from None


def _interval_columns(run: Run) -> tuple[list[int], list[str]]:
    """Returns which columns of a table have intervals, and the names of the others.

    Raises:
        DiaboloError: If none has.
    """
    schema = run.schema
    supports = schema.kinds or (schema.support,) * len(schema.columns)
    kept = set(schema.kept)
    ordered = [
        i
        for i, support in enumerate(supports)
        if i in kept and support.partition(":")[0] not in ("category", "binary")
    ]
    if schema.columns and not ordered:
        raise DiaboloError(
            "Intervals are of numbers, dates and ordered levels, but no column of this run is one: "
            "leave --intervals out."
        )
    return ordered, [n for i, n in enumerate(schema.columns) if i not in ordered]


def _by_name(run: Run, bounds: dict[str, np.ndarray], told: Sequence[int]) -> dict[str, Any]:
    """Returns the ends of intervals as columns, `low of age`, where columns have names."""
    import pyarrow as pa

    names, table = run.schema.columns, run.schema.table
    if not names:
        return bounds
    columns: dict[str, Any] = {}
    for i in told:
        for end, x in bounds.items():
            values = pa.array(x[:, i], from_pandas=True)
            if table is not None and not table.columns[i].numeric:  # dates, and levels of text
                values = table.columns[i].decode(x[:, i])
            columns[f"{end} of {names[i]}"] = values
    return {"x": pa.table(columns)}
