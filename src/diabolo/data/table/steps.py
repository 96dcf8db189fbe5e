"""The steps that the values of a column come in: 0.01 for two decimals, 0.5, 5, a week of days.

They are what values are written in, found in the table's own numbers, and drawn values are rounded
to them. `Data.resolution` is another thing: the least gap between values that a model sees, of any
data, below which no density may narrow.

Shapes: n rows.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..mapped import Array

__all__ = ["on_steps", "step_of", "step_of_times"]

PLACES = 6  # decimals at most
PART = 0.99  # of the distinct values, that have no more decimals
SEEN = 10  # values from which steps are believed
SEVERAL = 4  # distinct values from which steps are believed that are wider than a decimal place
CLEAR = 0.125  # the part of a step that the type of the values must resolve
ROUNDED = 2e-15  # relative error of float64 after some arithmetic
FINEST = 10**6  # steps are whole parts of this, or of a day's seconds
DAY = 86_400e6  # microseconds
UNITS = (DAY, 3600e6, 60e6, 1e6)


def step_of(values: Array) -> float | None:
    """Returns the largest number whose multiples values (n,) are; None if they are continuous.

    Values have as many decimals as 99 in 100 distinct ones need. Of float32 they are those of the
    shortest decimal numbers.

    Arguments:
        values: Numbers, float64, with NaN where one is missing.
    """
    seen = values[~np.isnan(values)]
    if len(seen) < SEEN:
        return None
    distinct = np.unique(seen)
    with np.errstate(over="ignore"):
        short = bool((distinct.astype(np.float32) == distinct).all())
    error = float(np.finfo(np.float32).eps) if short else ROUNDED
    for places in range(PLACES + 1):
        units = np.abs(distinct) * 10.0**places
        whole = np.rint(units)
        # Large whole numbers of float32 are whole, however coarse; their decimals are not known.
        clear = units < 2.0**53 if not places else error * units <= CLEAR
        found = clear & (np.abs(units - whole) <= np.minimum(error * units, CLEAR))
        if found.mean() >= PART:
            return _common(whole[found]) / 10**places
    return None


def step_of_times(times: Array) -> float | None:
    """Returns the step of dates in days from the first; None if it is below a second.

    Arguments:
        times: Microseconds (n,), none missing.
    """
    away = np.unique(times - times.min()) if len(times) >= SEEN else np.empty(0)
    for unit in UNITS if len(away) else ():
        if (away % unit == 0).all():
            return _common(away / unit) * (unit / DAY)
    return None


def _common(whole: Array) -> int:
    """Returns the greatest common divisor of whole numbers that differ; of few of them, 1."""
    if len(whole) < SEVERAL:
        return 1
    return int(np.gcd.reduce(whole.astype(np.int64))) or 1


def on_steps(values: Array, step: float, support: str) -> Array:
    """Returns values (n,) rounded to multiples of a step inside a support, float64; NaN stays."""
    parts = Fraction(step).limit_denominator(FINEST)
    up, down = parts.numerator, parts.denominator
    ends = {"positive": (1, np.inf), "count": (0, np.inf), "unit": (0, down // up)}
    number = np.rint(values.astype(np.float64) * down / up).clip(
        *ends.get(support, (-np.inf, np.inf))
    )
    return number * up / down
