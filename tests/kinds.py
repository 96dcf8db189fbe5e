"""A table with a column of each kind, for whatever has to do with all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

KINDS = ("real", "category:3", "count", "positive", "ordinal:4", "binary")


def table(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Columns of six kinds that all follow one hidden group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    return pd.DataFrame(
        {
            "weight": 60 + 20 * group + rng.normal(0, 2, n),
            "kind": (group + (rng.random(n) < 0.05)) % 3,
            "visits": rng.poisson(np.array([1.0, 5.0, 25.0])[group]),
            "price": np.exp(group + rng.normal(0, 0.1, n)),
            "grade": np.clip(group + rng.integers(0, 2, n), 0, 3),
            "member": (rng.random(n) < np.array([0.05, 0.5, 0.95])[group]).astype(int),
        }
    )
