"""Wine quality: 11 measurements of 1,599 red and 4,898 white wines, with marks of 3 to 9.

The label is the mark that tasters gave. The set has no split of its own: every fifth row is the
test part. Some wines stand in the table more than once.

References:
    | Modeling wine preferences by data mining from physicochemical properties (Cortez et al., 2009)
    | https://doi.org/10.24432/C56S3T
"""

from __future__ import annotations

import io

import numpy as np

from ..fetch import File, Store
from ..found import Found, Rows

__all__ = ["wine_quality"]

COLOURS = {
    "red": "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e",
    "white": "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836",
}


def wine_quality(store: Store) -> Found:
    """Returns the measurements, float32, red wines first, labelled by mark."""
    tables: list[np.ndarray] = []
    columns: tuple[str, ...] = ()
    for colour, checksum in COLOURS.items():
        file = File(name=f"winequality-{colour}.csv", sha256=(checksum,))
        lines = store.read("wine_quality", file).decode("ascii").splitlines()
        columns = tuple(name.strip('"') for name in lines[0].split(";"))
        tables.append(np.loadtxt(io.StringIO("\n".join(lines[1:])), delimiter=";"))
    values = np.concatenate(tables)
    x, labels = values[:, :-1].astype(np.float32), values[:, -1].astype(np.int64)
    test = np.arange(len(x)) % 5 == 4
    return Found(
        Rows(x[~test], labels[~test]),
        test=Rows(x[test], labels[test]),
        columns=columns[:-1],
        support="real",
    )
