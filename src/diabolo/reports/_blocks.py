"""What a page is made of: parts with a title, each a row of facts, tables, sentences, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ._svg import Drawing

__all__ = ["Block", "Code", "Drawn", "Facts", "Note", "Part", "Sentences", "Table"]


@dataclass(frozen=True)
class Facts:
    """Names and what is told of each."""

    rows: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Sentences:
    """A list of sentences; those of `bad` places call for something to be done."""

    rows: Sequence[str]
    bad: frozenset[int] = frozenset()
    kind: str = "sentences"


@dataclass(frozen=True)
class Table:
    """A table; columns from `numbers` on are set to the right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    kind: str = "table"


@dataclass(frozen=True)
class Note:
    """A sentence, of what is not shown if `lacking`."""

    text: str
    lacking: bool = False
    kind: str = "note"


@dataclass(frozen=True)
class Code:
    """Words to be typed."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Drawn:
    """A figure; `map` holds what the script of the page draws in its place, as JSON."""

    drawing: Drawing
    map: dict[str, Any] | None = None
    kind: str = "figure"


Block = Facts | Sentences | Table | Note | Code | Drawn


@dataclass
class Part:
    """A part of a page.

    Arguments:
        id: Its anchor.
        title: Its heading, a reader's question.
        blocks: What stands in it.
        intro: A sentence below the heading.
    """

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    intro: str = ""
