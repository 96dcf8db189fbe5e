"""Olivetti faces: 400 of 64x64 in 256 grey levels, 10 of each of 40 persons.

The last two pictures of each person are the test part.

References:
    | Parameterisation of a stochastic model for human face identification (Samaria & Harter, 1994)
    | https://cam-orl.co.uk/facedatabase.html
"""

from __future__ import annotations

import io

import numpy as np
import scipy.io

from ..fetch import File, Store
from ..found import Found, Rows

__all__ = ["olivetti"]

PUBLISHED = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
FACES = File(
    name="olivettifaces.mat",
    sha256=(PUBLISHED, "b1988d02c72fe5b8ee82b5ef3bb7982eafc74f1e1ff0ae0ade35061ad0af534d"),
    url="https://ndownloader.figshare.com/files/5976027",
    download=PUBLISHED,
    folder="olivetti_faces",
)


def olivetti(store: Store) -> Found:
    """Returns the faces, uint8, upright, labelled by person 0 to 39."""
    faces = scipy.io.loadmat(io.BytesIO(store.read("olivetti", FACES)))["faces"]
    x = np.ascontiguousarray(faces.T.reshape(-1, 64, 64).transpose(0, 2, 1))
    row = np.arange(len(x))
    test = row % 10 >= 8
    return Found(
        Rows(x[~test], row[~test] // 10),
        test=Rows(x[test], row[test] // 10),
        layout="hw",
        support="byte",
        classes=tuple(map(str, range(40))),
    )
