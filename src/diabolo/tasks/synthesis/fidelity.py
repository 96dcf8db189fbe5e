r"""How like real rows synthetic rows are: columns, pairs of columns, and what can be learned.

The distance of a column is the largest gap between two distribution functions (Kolmogorov and
Smirnov) for numbers, and the total variation for codes: both lie in [0, 1]. The dependence of a
pair of columns lies in [0, 1] too: the absolute rank correlation of two numbers, the correlation
ratio of ranks given codes, Cramer's V of two codes.

Shapes: n rows, D columns.

References:
    | Goodness of fit for two samples: SciPy's `ks_2samp`, `contingency.association`
    | Real-valued medical time series generation (Esteban, Hyland & Ratsch, 2017), section 4.2, for
    | training on synthetic and testing on real data; https://arxiv.org/abs/1706.02633
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DiaboloError, unknown
from .coded import Array, Coded

__all__ = ["Utility", "dependence", "marginals", "utility"]

LEAST = 10  # rows in which both columns of a pair are seen


def marginals(data: Coded, samples: Coded) -> Array:
    """Returns the distance of each column of samples from data, (D,); NaN without values."""
    from scipy.stats import ks_2samp

    out = np.full(len(data.names), np.nan)
    for j, code in enumerate(data.codes):
        a, b = (v[~np.isnan(v)] for v in (data.x[:, j], samples.x[:, j]))
        if not len(a) or not len(b):
            continue
        if code:
            levels = np.union1d(a, b)
            shares = [(v[:, None] == levels).mean(0) for v in (a, b)]
            out[j] = np.abs(shares[0] - shares[1]).sum() / 2
        else:
            out[j] = ks_2samp(a, b).statistic
    return out


def dependence(rows: Coded) -> Array:
    """Returns how much each pair of columns depends on each other, (D, D); NaN where not known."""
    d = len(rows.names)
    out = np.full((d, d), np.nan)
    for i in range(d):
        for j in range(i):
            seen = ~np.isnan(rows.x[:, i]) & ~np.isnan(rows.x[:, j])
            if seen.sum() < LEAST:
                continue
            a, b = rows.x[seen, i], rows.x[seen, j]
            out[i, j] = out[j, i] = _pair(a, b, rows.codes[i], rows.codes[j])
    return out


def _pair(a: Array, b: Array, code_a: bool, code_b: bool) -> float:
    from scipy.stats import rankdata
    from scipy.stats.contingency import association

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    if code_a and code_b:
        table = np.zeros((len(np.unique(a)), len(np.unique(b))), np.int64)
        place = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
        np.add.at(table, place, 1)
        return float(association(table, method="cramer"))
    if code_a:
        a, b, code_a, code_b = b, a, code_b, code_a
    rank = rankdata(a)
    if not code_b:
        return float(abs(np.corrcoef(rank, rankdata(b))[0, 1]))
    group = np.unique(b, return_inverse=True)[1]
    count = np.bincount(group)
    mean = np.bincount(group, rank) / count
    return float(
        np.sqrt((count * np.square(mean - rank.mean())).sum() / np.square(rank - rank.mean()).sum())
    )


class Utility(NamedTuple):
    """How well what was learned of some rows foretells a column of others.

    Attributes:
        score: For codes the part that is right, for numbers the part of the variance explained.
        each: The score of each row, (n,), whose mean it is.
    """

    score: float
    each: NDArray[np.float64]


def utility(learned: Coded, test: Coded, target: str, seed: int = 0) -> Utility:
    """Returns how well boosted trees that learned of some rows foretell a column of test rows.

    Arguments:
        learned: Rows to learn of, synthetic or real.
        test: Real rows.
        target: The name of the column.
        seed: Seeds the trees.

    Raises:
        DiaboloError: If there is no such column, or the rows to learn of hold no two values of it.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if target not in test.names:
        raise unknown("column", target, test.names)
    j = test.names.index(target)
    code = test.codes[j]
    (x, y), (other, asked) = (_split(rows, j) for rows in (learned, test))
    if len(asked) < 2 or np.ptp(asked) == 0:
        raise DiaboloError(f"Column '{target}' is constant in the test rows: take another target.")
    if not len(y) or np.ptp(y) == 0:
        guess = y[0] if len(y) else np.nan  # a sampler that has lost the column
        found = np.full(len(asked), guess)
    elif code:
        found = HistGradientBoostingClassifier(random_state=seed).fit(x, y).predict(other)
    else:
        found = HistGradientBoostingRegressor(random_state=seed).fit(x, y).predict(other)
    if code:
        each = (found == asked).astype(np.float64)
    else:
        each = 1 - np.square(found - asked) / asked.var()
    return Utility(float(each.mean()), each)


def _split(rows: Coded, j: int) -> tuple[Array, Array]:
    seen = ~np.isnan(rows.x[:, j])
    return np.delete(rows.x[seen], j, axis=1), rows.x[seen, j]
