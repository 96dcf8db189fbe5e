"""Frames of the explorer's socket: a header in JSON and arrays behind it, strictly checked.

A frame is the length of the header (uint32, little-endian), the header (UTF-8, padded with blanks
to a multiple of 4), and the arrays that it names, one after the other, each padded likewise.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import DiaboloError

__all__ = ["HEADER", "Query", "identity", "pack", "parse", "plain"]

HEADER = 1 << 16  # bytes of a header at most; a text that is uploaded is an array
ARRAYS = 8  # of one frame
DEPTH = 8  # of JSON
STRINGS, SIGNS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL), re.compile(r"[\[\]{}]")
AXES = 5  # of an array
KINDS = {"f4": "<f4", "u1": "u1", "i4": "<i4"}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Query:
    """What a page asks.

    Arguments:
        id: What the answer is to be called, as the page likes.
        ask: The name of the question.
        options: The rest of the header.
        arrays: Arrays by name.
    """

    id: int | str | None
    ask: str
    options: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def array(self, name: str, kinds: tuple[str, ...] = ("f4",), *, holes: bool = False) -> Array:
        """Returns an array that the question needs.

        Arguments:
            name: Its name.
            kinds: The types that it may have.
            holes: Whether NaN may stand for what is not known.

        Raises:
            DiaboloError: If it is lacking, of another type, or holds values that are no numbers.
        """
        if name not in self.arrays:
            raise DiaboloError(f"'{self.ask}' needs the array '{name}'.")
        found = self.arrays[name]
        if found.dtype not in [np.dtype(KINDS[k]) for k in kinds]:
            wanted = " or ".join(kinds)
            raise DiaboloError(f"The array '{name}' is {wanted}, but got {found.dtype.str[1:]}.")
        if found.dtype.kind == "f":
            bad = np.isinf(found) if holes else ~np.isfinite(found)
            if bad.any():
                raise DiaboloError(f"The array '{name}' holds values that are no finite numbers.")
        return found

    def integer(self, name: str, default: int | None, least: int, most: int) -> int:
        """Returns a whole number among the options.

        Raises:
            DiaboloError: If it is none, out of range, or lacking without a default.
        """
        value = self.options.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise DiaboloError(f"'{name}' is a whole number from {least} to {most}.")
        return value


def parse(frame: bytes) -> Query:
    """Returns what a frame asks.

    Raises:
        DiaboloError: If anything in it is not as it should be.
    """
    header, at = _header(frame)
    ask, found = header.get("ask"), header.get("id")
    if not isinstance(ask, str) or len(ask) > 32:
        raise DiaboloError("A frame says what it asks: 'ask', a short word.")
    arrays: dict[str, Array] = {}
    named = header.get("arrays", [])
    if not isinstance(named, list) or len(named) > ARRAYS:
        raise DiaboloError(f"'arrays' is a list of {ARRAYS} arrays at most.")
    for part in named:
        name, kind, shape = _described(part)
        size = math.prod(shape) * np.dtype(kind).itemsize
        if name in arrays or size > len(frame) - at:
            raise DiaboloError(f"The array '{name}' comes twice, or is longer than the frame.")
        arrays[name] = np.frombuffer(frame, kind, math.prod(shape), at).reshape(shape)
        at += size + -size % 4
    if at != len(frame):
        raise DiaboloError("A frame ends with its last array, padded to a multiple of 4 bytes.")
    options = {k: v for k, v in header.items() if k not in ("id", "ask", "arrays")}
    return Query(_named(found), ask, options, arrays)


def identity(frame: bytes) -> int | str | None:
    """Returns the `id` of a frame that may be broken, for the sentence that refuses it."""
    try:
        return _named(_header(frame)[0].get("id"))
    except DiaboloError:
        return None


def _named(value: Any) -> int | str | None:
    if value is None or (isinstance(value, str) and len(value) <= 64):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    raise DiaboloError("'id' is a whole number or a short text.")


def _header(frame: bytes) -> tuple[dict[str, Any], int]:
    """Returns the header, and where the arrays begin."""
    if len(frame) < 4:
        raise DiaboloError("A frame begins with the length of its header.")
    (length,) = struct.unpack_from("<I", frame)
    if length > HEADER or length % 4 or 4 + length > len(frame):
        raise DiaboloError(
            f"The header of a frame has {HEADER} bytes at most, a multiple of 4, and not more than "
            f"the frame: it says {length} of {len(frame)}."
        )
    try:
        text = frame[4 : 4 + length].decode("utf-8")
        header = json.loads(text, parse_constant=_constant) if _flat(text) else None
    except ValueError:
        raise DiaboloError("The header of a frame is a JSON object in UTF-8.") from None
    if not isinstance(header, dict):
        raise DiaboloError("The header of a frame is a JSON object.")
    return header, 4 + length


def _flat(text: str) -> bool:
    """Whether a text of JSON is not nested deeply; what is could spend the interpreter's stack."""
    if text.count("[") + text.count("{") <= DEPTH:
        return True
    depth = 0
    for sign in SIGNS.findall(STRINGS.sub("", text)):
        depth += 1 if sign in "[{" else -1
        if depth > DEPTH:
            return False
    return True


def _constant(word: str) -> NoReturn:
    raise ValueError(word)


def _described(part: Any) -> tuple[str, str, tuple[int, ...]]:
    """Returns name, type and shape of an array, as a header tells them."""
    if not isinstance(part, dict):
        raise DiaboloError("Each of 'arrays' has a name, a dtype and a shape.")
    name, dtype, shape = part.get("name"), part.get("dtype"), part.get("shape")
    if not isinstance(name, str) or not 1 <= len(name) <= 32:
        raise DiaboloError("The name of an array is a short text.")
    if not isinstance(dtype, str) or dtype not in KINDS:
        raise DiaboloError(f"The dtype of an array is one of {', '.join(KINDS)}.")
    whole = isinstance(shape, list) and len(shape) <= AXES
    if not whole or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise DiaboloError(f"The shape of an array is a list of {AXES} whole numbers at most.")
    return name, KINDS[dtype], tuple(shape)


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> bytes:
    """Returns a frame; floats become f4, bytes stay, other whole numbers become i4."""
    named: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, value in (arrays or {}).items():
        kind = "f4" if value.dtype.kind == "f" else "u1" if value.dtype == np.uint8 else "i4"
        raw = np.ascontiguousarray(value, dtype=KINDS[kind]).tobytes()
        named.append({"name": name, "dtype": kind, "shape": list(value.shape)})
        parts += [raw, bytes(-len(raw) % 4)]
    text = json.dumps(plain({**header, "arrays": named}), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def plain(value: Any) -> Any:
    """Returns JSON's own types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
