"""The four IDX files of MNIST and of the sets made after it."""

from __future__ import annotations

from ..fetch import File, Store
from ..found import Found, Rows
from ..readers.idx import parse_idx

__all__ = ["four_files"]

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def four_files(
    store: Store, name: str, base: str, sha256: tuple[str, ...], classes: tuple[str, ...]
) -> Found:
    """Returns the images and labels of the training and the test part.

    Arguments:
        store: Where files are.
        name: The name of the set.
        base: The address that the files' names follow.
        sha256: Of each file: of its content, then of the gzip file that is published.
        classes: The names of the labels.
    """
    files = [
        File(name=n, sha256=(sha256[2 * i],), url=f"{base}{n}.gz", download=sha256[2 * i + 1])
        for i, n in enumerate(NAMES)
    ]
    x, y, test_x, test_y = (parse_idx(store.read(name, f), f.name) for f in files)
    return Found(
        train=Rows(x, y),
        test=Rows(test_x, test_y),
        layout="hw",
        support="byte",
        classes=classes,
    )
