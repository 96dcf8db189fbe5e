"""Named sets: `sets/<name>.py` defines `<name>(store) -> Found`, with the set's own splits."""

from __future__ import annotations

from ...registry import Registry

__all__ = ["SETS"]

SETS = Registry("data set", __name__)
