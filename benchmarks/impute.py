"""Holes in tables filled in by Diabolo and by scikit-learn's imputers, side by side.

python benchmarks/impute.py --data-dir DATA --out docs/results/impute.json

Three tables, two patterns of 20 % missing entries (completely at random; at random given two
columns that are always seen), five masks each. Every imputer sees the same incomplete table and
no other row, and has its default settings; what was hidden is what it is judged by: the root mean
squared error of numbers in units of each column's standard deviation, the part of the classes that
are wrong, and how often Diabolo's nominal 90 % intervals hold the hidden number. A row is written
as soon as it is measured, and what the file holds already is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

import diabolo
from diabolo.estimators import Imputer

PART = 0.2
SLOPE = 2.0  # of the logit of being missing, in standard deviations of what it depends on
DRIVERS = 2  # columns that are always seen, on which the rest depends
PATTERNS = {
    "mcar": "completely at random",
    "mar": "at random given two columns that are always seen",
}
NUMERIC = ("real", "count", "positive", "ordinal")


@dataclass(frozen=True)
class Table:
    """A table with codes for classes.

    Arguments:
        x: (N, D), float64.
        kinds: What each column holds, as in `data.kinds`.
        names: The columns' names.
        about: Where it is from and what was done to it, in a sentence.
    """

    x: np.ndarray
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    about: str

    @property
    def numbers(self) -> np.ndarray:
        """Which columns are numbers, (D,)."""
        return np.array([k.partition(":")[0] in NUMERIC for k in self.kinds])


def adult(folder: Path) -> Table:
    """5,000 complete rows of the census table: 6 numbers, 8 columns of classes."""
    names = (
        "age", "workclass", "fnlwgt", "education", "education-num", "marital-status",
        "occupation", "relationship", "race", "sex", "capital-gain", "capital-loss",
        "hours-per-week", "native-country", "income",
    )  # fmt: skip
    numeric = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
    with (folder / "adult" / "adult.data").open() as file:
        rows = [[v.strip() for v in r] for r in csv.reader(file) if len(r) == len(names)]
    rows = [r for r in rows if "?" not in r]
    chosen = np.random.default_rng(0).permutation(len(rows))[:5000]
    columns, kinds, kept = [], [], []
    for i, name in enumerate(names):
        values = np.array([rows[j][i] for j in chosen])
        if name == "education":  # the same as its number
            continue
        if name in numeric:
            columns.append(values.astype(np.float64))
            kinds.append("real")
        else:
            levels, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
            rare = counts < 0.01 * len(values)
            if rare.sum() > 1:  # one level together
                codes = np.where(rare[codes], len(levels), codes)
                _, codes = np.unique(codes, return_inverse=True)
            count = int(codes.max()) + 1
            columns.append(codes.astype(np.float64))
            kinds.append("binary" if count == 2 else f"category:{count}")
        kept.append(name)
    about = (
        "UCI Adult: 5,000 of the rows without missing values, drawn by a seed; 6 numbers and "
        "7 columns of classes and the income class. Left out: education, which education-num "
        "says too; levels of less than 1 % of a column are one level."
    )
    return Table(np.stack(columns, 1), tuple(kinds), tuple(kept), about)


def wine_quality(folder: Path) -> Table:
    """All red and white wines: 11 measurements."""
    parts, names = [], ()
    for colour in ("red", "white"):
        lines = (folder / "wine_quality" / f"winequality-{colour}.csv").read_text().splitlines()
        names = tuple(n.strip('"') for n in lines[0].split(";"))[:-1]
        parts.append(np.loadtxt(lines[1:], delimiter=";")[:, :-1])
    about = "UCI Wine Quality: all 6,497 wines, red and white, 11 measurements."
    return Table(np.concatenate(parts), ("real",) * 11, names, about)


def breast_cancer(folder: Path) -> Table:
    """The 569 tumours of scikit-learn: 30 measurements, many nearly functions of others."""
    found = load_breast_cancer()
    about = (
        "scikit-learn's breast cancer: 569 tumours, 30 measurements (radius, perimeter and area "
        "among them: nearly functions of each other)."
    )
    return Table(found.data, ("real",) * 30, tuple(map(str, found.feature_names)), about)


SETS: dict[str, Callable[[Path], Table]] = {
    "adult": adult,
    "wine_quality": wine_quality,
    "breast_cancer": breast_cancer,
}


def hide(table: Table, pattern: str, seed: int) -> np.ndarray:
    """Returns where entries are hidden, (N, D): `PART` of those of each column that can be."""
    rng = np.random.default_rng([seed, 7])
    x, d = table.x, table.x.shape[1]
    if pattern == "mcar":
        return rng.random(x.shape) < PART
    drivers = rng.choice(np.nonzero(table.numbers)[0], DRIVERS, replace=False)
    scaled = (x[:, drivers] - x[:, drivers].mean(0)) / x[:, drivers].std(0)
    score = scaled @ rng.choice([-1.0, 1.0], DRIVERS)
    score = score / score.std()
    out = np.zeros(x.shape, bool)
    for j in set(range(d)) - set(drivers.tolist()):
        logit = SLOPE * rng.choice([-1.0, 1.0]) * score
        low, high = -20.0, 20.0  # the offset by which a part of PART is missing
        for _ in range(60):
            middle = (low + high) / 2
            over = (1 / (1 + np.exp(-(logit + middle)))).mean() > PART
            low, high = (low, middle) if over else (middle, high)
        out[:, j] = rng.random(len(x)) < 1 / (1 + np.exp(-(logit + low)))
    return out


def scores(table: Table, hidden: np.ndarray, filled: np.ndarray) -> dict[str, Any]:
    """Returns the error of numbers in standard deviations, and the part of classes wrong."""
    scale = table.x.std(0)
    error = ((filled - table.x) / scale)[hidden & table.numbers]
    found = {"rmse": float(np.sqrt((error**2).mean()))}
    if not table.numbers.all():
        wrong = (filled != table.x)[hidden & ~table.numbers]
        found["error_rate"] = float(wrong.mean())
    return found


def with_diabolo(table: Table, hidden: np.ndarray, seed: int) -> dict[str, Any]:
    """Fits Diabolo's imputer, told no more than which columns are classes, and fills in."""
    x = np.where(hidden, np.nan, table.x)
    kinds = {} if table.numbers.all() else {"kinds": table.kinds}
    began = time.perf_counter()
    run = Imputer(random_state=seed, options=kinds).fit(x).run_
    fitted = time.perf_counter() - began
    found = diabolo.impute(run, x, seed=seed)
    seconds = time.perf_counter() - began
    numbers = hidden & table.numbers
    inside = (found.low <= table.x) & (table.x <= found.high)
    per_column = {
        n: float(inside[:, j][hidden[:, j]].mean())
        for j, n in enumerate(table.names)
        if table.numbers[j] and hidden[:, j].any()
    }
    assert found.ess is not None
    assert (found.data[~hidden] == table.x[~hidden]).all()
    return {
        **scores(table, hidden, found.data),
        "coverage": float(inside[numbers].mean()),
        "coverage_of": per_column,
        "ess_median": float(np.nanmedian(found.ess)),
        "linear": "decoder" in run.config.options,
        "epochs": len(run.history.rows),
        "fit_seconds": fitted,
        "seconds": seconds,
    }


def with_means(table: Table, x: np.ndarray) -> np.ndarray:
    """Returns the table with the mean of each column, or its most frequent class."""
    filled = x.copy()
    for j in range(x.shape[1]):
        seen = x[:, j][~np.isnan(x[:, j])]
        values, counts = np.unique(seen, return_counts=True)
        best = seen.mean() if table.numbers[j] else values[counts.argmax()]
        filled[np.isnan(x[:, j]), j] = best
    return filled


def encoded(table: Table, imputer: Any, x: np.ndarray, first: int | None) -> np.ndarray:
    """Returns the table filled in by an imputer of standardised numbers.

    A class is its code, rounded and clipped afterwards, or a column for each level, all of them
    missing where it is, of which the largest is taken afterwards. Linear regressions need one
    level fewer: with all of them each is a function of the others, which are missing too.

    Arguments:
        table: What the columns are.
        imputer: One of scikit-learn's.
        x: The table with NaN where entries are missing, (N, D).
        first: The first level that has a column, 0 or 1; None for codes.
    """
    parts, back = [], []
    for j, kind in enumerate(table.kinds):
        column = x[:, j]
        levels = int(kind.partition(":")[2] or 2)
        start = sum(p.shape[1] for p in parts)
        if first is not None and not table.numbers[j] and levels > 2:
            hot = (column[:, None] == np.arange(first, levels)).astype(np.float64)
            hot[np.isnan(column)] = np.nan
            parts.append(hot)
        else:
            parts.append(column[:, None])
        back.append(slice(start, start + parts[-1].shape[1]))
    wide = np.concatenate(parts, 1)
    mean, scale = np.nanmean(wide, 0), np.nanstd(wide, 0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        filled = imputer.fit_transform((wide - mean) / scale) * scale + mean
    out = x.copy()
    for j, here in enumerate(back):
        found = filled[:, here]
        if not table.numbers[j]:
            top = int(table.kinds[j].partition(":")[2] or 2) - 1
            if found.shape[1] > 1:
                rest = 1 - found.sum(1, keepdims=True)
                found = np.hstack([rest, found] if first else [found]).argmax(1)[:, None]
            else:
                found = np.clip(np.rint(found), 0, top)
        gap = np.isnan(x[:, j])
        out[gap, j] = found[gap, 0]
    return out


def imputers(table: Table, seed: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns what fills in beside Diabolo, by its name."""

    def iterative() -> IterativeImputer:
        return IterativeImputer(random_state=seed)

    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "means and modes": lambda x: with_means(table, x),
        "IterativeImputer": lambda x: encoded(table, iterative(), x, 1),
        "KNNImputer": lambda x: encoded(table, KNNImputer(), x, 0),
    }
    if any(k.startswith("category") for k in table.kinds):
        found["IterativeImputer, codes"] = lambda x: encoded(table, iterative(), x, None)
        found["KNNImputer, codes"] = lambda x: encoded(table, KNNImputer(), x, None)
    return found


def about(table: Table) -> dict[str, Any]:
    """Returns what is said of a table beside its rows."""
    return {
        "about": table.about,
        "rows": len(table.x),
        "numbers": int(table.numbers.sum()),
        "classes": int((~table.numbers).sum()),
    }


def machine() -> str:
    """Returns what the numbers were made on, in one sentence."""
    versions = f"torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    return f"{platform.machine()}, {threads}, Python {platform.python_version()}, {versions}."


def main() -> None:
    """Measures what the file does not hold yet, and writes each row as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--patterns", nargs="+", default=list(PATTERNS), choices=list(PATTERNS))
    parser.add_argument("--masks", type=int, default=5)
    args = parser.parse_args()

    record: dict[str, Any] = {"sets": {}, "rows": []}
    if args.out.exists():
        record = json.loads(args.out.read_text())
    record["date"], record["machine"] = f"{date.today():%Y-%m-%d}", machine()
    done = {(r["set"], r["pattern"], r["mask"], r["imputer"]) for r in record["rows"]}

    def keep(key: tuple[str, str, int, str], found: dict[str, Any]) -> None:
        row = dict(zip(("set", "pattern", "mask", "imputer"), key, strict=True)) | found
        record["rows"].append(row)
        args.out.write_text(json.dumps(record, indent=1) + "\n")
        print(" ".join(map(str, key)), {k: v for k, v in found.items() if k != "coverage_of"})

    for seed in range(args.masks):  # mask by mask, so that a run that is cut short has all tables
        for name in args.sets:
            table = SETS[name](args.data_dir)
            record["sets"][name] = about(table)
            for pattern in args.patterns:
                hidden = hide(table, pattern, seed)
                x = np.where(hidden, np.nan, table.x)
                for imputer, fill in imputers(table, seed).items():
                    key = (name, pattern, seed, imputer)
                    if key not in done:
                        began = time.perf_counter()
                        filled = fill(x)
                        spent = time.perf_counter() - began
                        keep(key, {**scores(table, hidden, filled), "seconds": spent})
                key = (name, pattern, seed, "Diabolo")
                if key not in done:
                    keep(key, with_diabolo(table, hidden, seed))


if __name__ == "__main__":
    main()
