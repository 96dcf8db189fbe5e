"""What a column of a table is, by stated rules.

Truth values, and numbers that are 0 or 1, are `boolean`. Whole numbers are `ordinal` if they have
at most 20 values, each of which comes 5 times on average, and some are negative, or they vary less
than counts do (variance below 0.8 means) or evenly (up to 2.2 means, with a variance of at least
0.06 squared ranges); else `count` if they are not negative and vary at least as counts do. All
other numbers are `real`, or `positive` if they are above 0 and their 99th percentile is at least
10 times the first. Dates are `date`. Text is `category`, unless all of its values differ (an
identifier), most of them do, or they are sentences (free text). A hundred whole numbers or more
that all differ where many would agree by chance are identifiers too.

Shapes: n rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from ...errors import DiaboloError, unknown
from ..mapped import Array
from .types import PLAIN, is_date, is_plain, mostly, pc

__all__ = [
    "FEW",
    "KINDS",
    "Kind",
    "Numbers",
    "Said",
    "number_kind",
    "read_kind",
    "refuse_mixture",
    "refuse_type",
    "text_role",
]

Kind = Literal["real", "positive", "unit", "count", "boolean", "ordinal", "category", "date"]
KINDS: tuple[str, ...] = get_args(Kind)
FEW = 20  # values of an ordinal column
AGAIN = 5  # times that each of them comes, on average
COUNTS = 0.8  # variance over mean from which whole numbers are counts
EVEN, FLAT = 2.2, 0.06  # greatest over mean, variance over squared range: 2 and 1/12 if uniform
LARGEST = 1 << 53  # whole number that float64 tells from its neighbours
LARGE = 1 << 20  # from which whole numbers are no counts
WIDE = 10.0  # between the percentiles of a positive column
SAMPLE = 10_000  # rows from which percentiles are taken
NAMES = 100  # rows from which whole numbers are names by that; few years, one a row, are none
AGREE = 10.0  # pairs of equal values, expected by chance, from which different ones are names
UNIQUE = 10  # rows from which values that all differ identify them
WORDS = 4.0  # on average, from which text is free
CURRENCY = r"(\p{Sc}|%|EUR|USD|GBP|CHF|JPY)?"
SPELLED = {  # numbers and dates that are not read as such, and how they would be
    "numbers": (
        rf"^[-+]?\s*{CURRENCY}\s*[-+]?(\d{{1,3}}([,. ']\d{{3}})+|\d+)([.,]\d+)?\s*{CURRENCY}$",
        "1234.5",
    ),
    "dates": (
        r"^(\d{1,2}([./-])\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./]\d{1,2}[./]\d{1,2})([ T].*)?$",
        "2026-01-31",
    ),
}


class Said(NamedTuple):
    """What a user says of a column.

    Attributes:
        kind: Its kind, or `skip` to leave it out.
        levels: The levels in their order, as text; () where none are said.
        count: The number of levels, for codes 0 .. count - 1; None where it is not said.
    """

    kind: str
    levels: tuple[str, ...] = ()
    count: int | None = None


def read_kind(text: str, name: str) -> Said:
    """Reads `real`, `category`, `ordinal:low<mid<high`, `ordinal:5` (codes) or `skip`.

    Raises:
        DiaboloError: At an unknown kind, or levels of a kind that has none.
    """
    kind, colon, rest = text.partition(":")
    kind = {"binary": "boolean"}.get(kind.strip(), kind.strip())
    if kind not in (*KINDS, "skip"):
        raise unknown(f"kind of column '{name}'", kind, (*KINDS, "skip"))
    if not colon:
        return Said(kind)
    levels = tuple(part.strip() for part in rest.split("<"))
    if kind in ("ordinal", "category") and len(levels) == 1 and levels[0].isdigit():
        return Said(kind, count=int(levels[0]))
    if kind != "ordinal" or len(levels) < 2 or len(set(levels)) < len(levels):
        raise DiaboloError(
            f"Expected the kind of column '{name}' as one of {', '.join(KINDS)}, with levels such "
            f"as 'ordinal:low<mid<high' or 'category:4' (codes 0 to 3), but got '{text}'."
        )
    return Said(kind, levels)


class Numbers:
    """What is seen of a column of numbers, block by block.

    Arguments:
        rows: How many rows there are in all.
    """

    def __init__(self, rows: int) -> None:
        self.stride = -(-rows // SAMPLE) or 1
        self.before = self.seen = 0
        self.low, self.high = np.inf, -np.inf
        self.whole = True
        self.total = self.square = 0.0
        self.running = True
        self.last: float | None = None
        self.few: Array | None = np.empty(0)
        self.apart: list[Array] | None = []
        self.some: list[Array] = []

    def add(self, block: Array) -> None:
        """Looks at values (n,), float64, with NaN where one is missing."""
        some = block[-self.before % self.stride :: self.stride]
        self.before += len(block)
        if self.running and len(block):
            joined = block if self.last is None else np.concatenate([[self.last], block])
            self.running = bool((np.diff(joined) == 1).all()) and not np.isnan(block[0])
            self.last = float(block[-1])
        block, some = block[~np.isnan(block)], some[~np.isnan(some)]
        if not len(block):
            return
        self.some.append(some)
        self.low = min(self.low, float(block.min()))
        self.high = max(self.high, float(block.max()))
        self.whole = self.whole and bool((block == np.rint(block)).all())
        if self.apart is not None:
            differ = self.whole and self.before <= LARGE and len(np.unique(block)) == len(block)
            self.apart = [*self.apart, block] if differ else None
        if self.few is not None:
            self.few = np.union1d(self.few, np.unique(block))
            self.few = self.few if len(self.few) <= FEW else None
        # Sums of deviations from a first guess of the mean keep the digits of large values.
        if not self.seen:
            self.guess = float(block.mean())
        away = block - self.guess
        self.total += float(away.sum())
        with np.errstate(over="ignore"):  # what is too large for float32 is refused later
            self.square += float((away**2).sum())
        self.seen += len(block)

    @classmethod
    def of(cls, blocks: Iterable[Array], rows: int) -> Numbers:
        """Returns what is seen of all blocks."""
        found = cls(rows)
        for block in blocks:
            found.add(block)
        return found

    @property
    def counts_rows(self) -> bool:
        """Whether the values are running numbers."""
        return self.running and self.whole and self.seen >= UNIQUE

    def names_rows(self, whole: bool) -> bool:
        """Whether the values are names: running numbers in any order, or too large for numbers.

        Of n values that are drawn evenly from R whole numbers, n (n - 1) / 2R pairs agree; if ten
        are expected, all differ with a probability below exp(-10).

        Arguments:
            whole: Whether they are of a type of whole numbers.
        """
        if whole and max(-self.low, self.high) > LARGEST:
            return True
        pairs = self.seen * (self.seen - 1) / 2
        if self.apart is None or self.seen < NAMES or pairs < AGREE * (self.high - self.low + 1):
            return False
        return len(np.unique(np.concatenate(self.apart))) == self.seen

    @property
    def mean(self) -> float:
        """The mean."""
        return self.guess + self.total / self.seen

    @property
    def variance(self) -> float:
        """The variance."""
        return max(0.0, self.square / self.seen - (self.total / self.seen) ** 2)

    @property
    def sample(self) -> Array:
        """Some values, in the order of the rows."""
        return np.concatenate(self.some) if self.some else np.empty(0)

    @property
    def wide(self) -> bool:
        """Whether all values are positive, and of several orders of magnitude."""
        if self.low <= 0:
            return False
        first, last = np.quantile(self.sample, (0.01, 0.99))
        return bool(last >= WIDE * first)


def number_kind(found: Numbers) -> Kind:
    """Returns the kind of a column of numbers, of which at least one is seen."""
    if found.few is not None and set(found.few.tolist()) <= {0.0, 1.0}:
        return "boolean"
    if found.whole:
        counts = found.low >= 0 and found.variance >= COUNTS * found.mean
        again = found.few is not None and found.seen >= AGAIN * len(found.few)
        even = found.high <= EVEN * found.mean and found.variance >= FLAT * (
            (found.high - found.low) ** 2
        )
        if again and (not counts or even):
            return "ordinal"
        if counts and found.high < LARGE and not (found.low >= 100 and found.wide):
            return "count"
    return "positive" if found.wide else "real"


def text_role(values: pa.Array, counts: Sequence[int]) -> str:
    """Returns `category`, or why a column of text is left out.

    Arguments:
        values: The values that there are, each once.
        counts: How often each comes.
    """
    seen, distinct = sum(counts), len(values)
    if distinct > FEW and (found := _spelled(values)):
        return found
    if distinct == seen and seen >= UNIQUE:
        return "identifier"
    words = pc.add(pc.count_substring(values, " "), 1).cast(pa.float64())
    weights = np.asarray(counts, float) / seen
    mean = float((words.to_numpy(zero_copy_only=False) * weights).sum())
    if distinct > 0.5 * seen and seen >= 2 * UNIQUE:
        return "free text" if mean >= WORDS else "identifier"
    if mean >= WORDS and distinct > 0.2 * seen and distinct > FEW:
        return "free text"
    return "category"


def refuse_type(name: str, kind: pa.DataType, said: Said) -> None:
    """Refuses what a user says of a column whose values are of another type.

    Raises:
        DiaboloError: Naming the column.
    """
    if not is_plain(kind):
        raise DiaboloError(
            f"Column '{name}' is of type {kind}, of which nothing is learned: make numbers or text "
            "of it, or leave it out."
        )
    if is_date(kind) and said.kind != "date":
        raise DiaboloError(
            f"Column '{name}' holds dates, so that it cannot be '{said.kind}': leave it out of "
            "data.kinds, or make numbers or text of it."
        )


def _spelled(values: pa.Array) -> str | None:
    """Returns what most of these texts are, if that is numbers or dates in another spelling."""
    plain = pc.match_substring_regex(values, PLAIN)
    for what, (pattern, how) in SPELLED.items():
        found = pc.and_(pc.match_substring_regex(values, pattern), pc.invert(plain))
        if pc.mean(found).as_py() >= 0.5:
            example = values.filter(found)[0].as_py()
            return f"{what} such as '{example}', to be written as {how}"
    return None


def refuse_mixture(name: str, texts: pa.Array, seen: int) -> None:
    """Refuses a column of text most of which is numbers, or dates.

    Raises:
        DiaboloError: Naming the column and the first row of other text.
    """
    what, known = mostly(texts)
    if not 0.5 <= pc.sum(known).as_py() / seen < 1:
        return
    other = pc.and_(pc.is_valid(texts), pc.invert(known)).to_numpy(zero_copy_only=False)
    row = int(other.nonzero()[0][0])
    raise DiaboloError(
        f"Column '{name}' holds {what} and text: row {row} has '{texts[row].as_py()}'. Mend it or "
        f"leave it empty, or say what the column is, such as kinds={{'{name}': 'category'}}."
    )
