"""Handwritten digits of scikit-learn: 1797 of 8x8 in 17 grey levels, embedded, no download.

Every fifth row (the rows 4, 9, 14, ...: 359 in all) is the test part.

References:
    | https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ..fetch import Store
from ..found import Found, Rows

__all__ = ["digits"]


def digits(store: Store) -> Found:
    """Returns the digits, uint8 levels 0 to 16, with labels 0 to 9."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8).astype(np.uint8)
    test = np.arange(len(images)) % 5 == 4
    return Found(
        train=Rows(images[~test], labels[~test]),
        test=Rows(images[test], labels[test]),
        layout="hw",
        support="byte:17",
        classes=tuple("0123456789"),
    )
