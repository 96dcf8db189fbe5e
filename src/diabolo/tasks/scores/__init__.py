"""How strange a datum is to a fitted model: larger is stranger. The folder is the registry.

A member is a function `name(subject, *, options) -> Judge`. It learns what it has to know of the
normal data when it is called, and the `Judge` that it returns scores any data by that. A model for
which a score would mean nothing is refused with a sentence.

Shapes: n data.
"""

from ...registry import Registry
from ._subject import Judge, Subject

__all__ = ["SCORES", "Judge", "Subject"]

SCORES = Registry("score", __name__)
