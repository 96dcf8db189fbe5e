"""OMNIGLOT: characters of 50 alphabets, 28x28 grey, in the split of Burda et al. where it is found.

That split (24,345 and 8,070 images, the labels are alphabets) is the one of published likelihoods.
Where only the derived copy `omniglot_28x28_derived.npz` is found (19,280 of the background and
13,180 of the evaluation alphabets), it is read, and said so.

References:
    | Human-level concept learning through probabilistic program induction (Lake et al., 2015)
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016)
    | https://github.com/yburda/iwae
"""

from __future__ import annotations

import io

import numpy as np
import scipy.io

from ...errors import DiaboloError
from ..fetch import File, Store
from ..found import Array, Found, Rows

__all__ = ["omniglot"]

BURDA = File(
    name="chardata.mat",
    git="016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
    url="https://raw.githubusercontent.com/yburda/iwae/"
    "78a6075484bd7dd6f47a4bb9880d2295bc7a5220/datasets/OMNIGLOT/chardata.mat",
)
DERIVED = File(
    name="omniglot_28x28_derived.npz",
    sha256=("b1f72f47f0438da53bd065fbc7854fee705e47be48e279da14977921ca0c1d3e",),
)


def omniglot(store: Store) -> Found:
    """Returns the characters: grey values in [0, 1] of Burda et al., else uint8 of the copy."""
    if store.find("omniglot", BURDA.name) or not store.find("omniglot", DERIVED.name):
        return _burda(store.read("omniglot", BURDA))
    return _derived(store.read("omniglot", DERIVED))


def _burda(raw: bytes) -> Found:
    try:
        file = scipy.io.loadmat(io.BytesIO(raw))
        parts = [(file["data"], file["target"]), (file["testdata"], file["testtarget"])]
    except (KeyError, ValueError, OSError):
        raise DiaboloError("'chardata.mat' does not hold the arrays of OMNIGLOT.") from None
    train, test = (Rows(_upright(x), y.argmax(0)) for x, y in parts)
    return Found(
        train,
        test=test,
        layout="hw",
        support="unit",
        classes=tuple(map(str, range(len(parts[0][1])))),
    )


def _upright(x: Array) -> Array:
    """Returns images (N, 28, 28) from columns (784, N) in column-major order."""
    return np.ascontiguousarray(x.T.reshape(-1, 28, 28).transpose(0, 2, 1).astype(np.float32))


def _derived(raw: bytes) -> Found:
    file = np.load(io.BytesIO(raw), allow_pickle=False)
    names = [str(n) for p in ("train", "test") for n in file[f"{p}_alphabet_names"]]
    shift = len(file["train_alphabet_names"])
    return Found(
        Rows(file["train_images"], file["train_alphabets"]),
        test=Rows(file["test_images"], file["test_alphabets"] + shift),
        layout="hw",
        support="byte",
        classes=tuple(names),
        notes=(
            "This is not the OMNIGLOT split of Burda et al.: likelihoods on it cannot be compared "
            "with published ones; for that, put 'chardata.mat' in the data folder.",
        ),
    )
