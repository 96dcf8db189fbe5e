"""What synthetic rows give away of the rows that were learned: copies, and who was among them.

Shapes: n rows, F numbers of a row.

References:
    | LOGAN: Membership Inference Attacks Against Generative Models (Hayes et al., 2019)
    | https://arxiv.org/abs/1705.07663
    | GAN-Leaks (Chen et al., 2020), section 4.2: the distance to the nearest sample
    | https://arxiv.org/abs/1909.03935
    | The meaning and use of the area under a ROC curve (Hanley & McNeil, 1982), eq. 1
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .coded import Array

__all__ = ["Membership", "membership"]


class Membership(NamedTuple):
    """How well an attacker who has the synthetic rows tells training rows from others.

    Attributes:
        auc: The probability that of a training row and another, the former is the nearer.
        stderr: Its standard error.
    """

    auc: float
    stderr: float


def membership(train: Array, others: Array, samples: Array) -> Membership:
    """Returns what the distance to the nearest synthetic row tells; 0.5 is nothing.

    Arguments:
        train: Rows that were learned, (n, F).
        others: Rows of the same law that were not, (m, F).
        samples: Synthetic rows (M, F).
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1).fit(samples)
    near = [search.kneighbors(rows)[0][:, 0] for rows in (train, others)]
    label = np.repeat([1, 0], [len(train), len(others)])
    auc = float(roc_auc_score(label, -np.concatenate(near)))
    n, m = len(train), len(others)
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n - 1) * (one - auc**2) + (m - 1) * (two - auc**2)
    return Membership(auc, float(np.sqrt(max(variance, 0.0) / (n * m))))
