"""Fashion-MNIST: 70,000 articles of clothing of 28x28 in 256 grey levels; 10,000 are for test.

References:
    | Fashion-MNIST: a Novel Image Dataset (Xiao, Rasul & Vollgraf, 2017)
    | https://github.com/zalandoresearch/fashion-mnist
"""

from __future__ import annotations

from ..fetch import Store
from ..found import Found
from ._idx import four_files

__all__ = ["fashion_mnist"]

BASE = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
)
SHA256 = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_mnist(store: Store) -> Found:
    """Returns the articles, uint8, with ten classes."""
    return four_files(store, "fashion_mnist", BASE, SHA256, CLASSES)
