r"""From scores to p-values and flags, with nothing assumed but that normal data are exchangeable.

.. math:: p(x) = \frac{1 + \#\{m : s(x_m) \ge s(x)\}}{1 + M}

over M data known to be normal, of which the score has learned nothing: for a new normal datum
:math:`P(p \le t) \le t`, and equal to it at the values that p can have where no scores tie.
Benjamini and Hochberg's procedure on these keeps the expected part of false alarms among all alarms
at the rate that is asked for (Bates et al., theorem 2: the p-values, which share the normal data,
depend on each other positively).

References:
    | Algorithmic Learning in a Random World (Vovk, Gammerman & Shafer, 2005), chapter 2
    | Testing for Outliers with Conformal p-values (Bates et al., 2023), eq. 3 and theorem 2
    | https://arxiv.org/abs/2104.08279
    | Controlling the False Discovery Rate (Benjamini & Hochberg, 1995)

Shapes: n new data, M normal data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DiaboloError

__all__ = ["conformal_p_values", "discoveries"]


def conformal_p_values(scores: ArrayLike, normal: ArrayLike) -> NDArray[np.float64]:
    """Returns the p-value of each new datum, (n,): small where few normal data are so strange.

    Arguments:
        scores: Scores of the new data, (n,), larger for stranger ones.
        normal: Scores of the normal data, (M,).

    Raises:
        DiaboloError: If there are no normal data, or a score is not a number.
    """
    s, known = np.asarray(scores, np.float64), np.asarray(normal, np.float64)
    for name, values in (("scores", s), ("normal scores", known)):
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            raise DiaboloError(
                f"p-values need {name} in one row, one at least and none NaN, but got the shape "
                f"{values.shape} with {int(np.isnan(values).sum())} NaN."
            )
    above = len(known) - np.searchsorted(np.sort(known), s, side="left")
    return (1 + above) / (1 + len(known))


def discoveries(p_values: ArrayLike, rate: float) -> NDArray[np.bool_]:
    """Returns which of the data to flag, (n,), at a false-discovery rate.

    Arguments:
        p_values: Their p-values, (n,).
        rate: The expected part of false alarms among all alarms, between 0 and 1.

    Raises:
        DiaboloError: If the rate is no such part, or a p-value lies outside [0, 1].
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p_values, np.float64)
    if not 0 < rate < 1:
        raise DiaboloError(f"A false-discovery rate lies between 0 and 1, but got {rate}.")
    if p.ndim != 1 or not bool(((p >= 0) & (p <= 1)).all()):
        raise DiaboloError("Expected p-values in one row, each between 0 and 1.")
    return false_discovery_control(p) <= rate if len(p) else np.zeros(0, bool)
