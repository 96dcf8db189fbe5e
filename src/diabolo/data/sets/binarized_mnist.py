"""Statically binarised MNIST: 50,000, 10,000 and 10,000 images of 28x28 bits, without labels.

References:
    | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008)
    | The files distributed by H. Larochelle
"""

from __future__ import annotations

import numpy as np

from ...errors import DiaboloError
from ..fetch import File, Store
from ..found import Array, Found, Rows

__all__ = ["binarized_mnist"]

BASE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


def parse_amat(raw: bytes, name: str) -> Array:
    """Returns bits (N, 28, 28) from text of 784 zeros and ones a line, without a float parser.

    Raises:
        DiaboloError: If the text holds anything else.
    """
    text = np.frombuffer(raw, np.uint8)
    bits = text[text > ord(" ")] - ord("0")
    if not len(bits) or len(bits) % 784 or bits.max() > 1:
        raise DiaboloError(f"'{name}' does not hold 784 zeros and ones a line.")
    return bits.reshape(-1, 28, 28)


def binarized_mnist(store: Store) -> Found:
    """Returns the three parts of bits, which are fixed."""
    parts = []
    for part, sha256 in SHA256.items():
        name = f"binarized_mnist_{part}.amat"
        file = File(name=name, sha256=(sha256,), url=BASE + name, download=sha256)
        parts.append(Rows(parse_amat(store.read("binarized_mnist", file), name)))
    train, valid, test = parts
    return Found(train, valid, test, layout="hw", support="binary")
