"""MNIST: 70,000 handwritten digits of 28x28 in 256 grey levels; 10,000 are the test part.

References:
    | Gradient-Based Learning Applied to Document Recognition (LeCun et al., 1998)
    | http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

from ..fetch import Store
from ..found import Found
from ._idx import four_files

__all__ = ["mnist"]

BASE = "https://ossci-datasets.s3.amazonaws.com/mnist/"
SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)


def mnist(store: Store) -> Found:
    """Returns the digits, uint8, with labels 0 to 9."""
    return four_files(store, "mnist", BASE, SHA256, tuple("0123456789"))
