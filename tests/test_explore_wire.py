"""Frames of the explorer's socket: what is packed is parsed, and what lies is refused."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diabolo.errors import DiaboloError
from diabolo.explore.wire import HEADER, identity, pack, parse, plain


def frame(header: object, payload: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text) if length is None else length) + text + payload


def test_parse_undoes_pack() -> None:
    arrays = {
        "z": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask": np.array([[1, 0, 1]], np.uint8),
        "condition": np.array([-1, 5], np.int32),
        "none": np.zeros((0, 3), np.float32),
    }
    found = parse(pack({"id": "a", "ask": "decode", "seed": 3}, arrays))
    assert (found.id, found.ask, found.options) == ("a", "decode", {"seed": 3})
    for name, value in arrays.items():
        assert found.arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(found.arrays[name], value)


def test_numbers_become_those_of_the_wire() -> None:
    arrays = {"x": np.zeros(2), "i": np.arange(3)}
    told = parse(pack({"ask": "x", "value": float("nan"), "n": np.int64(3)}, arrays))
    assert told.options["value"] is None
    assert told.options["n"] == 3
    assert told.arrays["x"].dtype == np.float32
    assert told.arrays["i"].dtype == np.int32
    assert plain({"a": (np.float64("inf"), np.array([1.5, np.nan]))}) == {"a": [None, [1.5, None]]}


ARRAY = {"name": "z", "dtype": "f4", "shape": [1]}
BROKEN = {
    "nothing": b"",
    "short": b"abc",
    "length beyond the frame": frame({"ask": "x"}, length=10_000),
    "length of 4 GB": frame({"ask": "x"}, length=2**32 - 4),
    "odd length": frame({"ask": "x"}, length=5),
    "huge header": frame({"ask": "x" * (HEADER + 8)}),
    "no JSON": frame(b"{{{{"),
    "no UTF-8": frame(b"\xff\xfe\xfd\xfc"),
    "NaN": frame(b'{"ask": "x", "v": NaN}'),
    "deep": frame(b"[" * 60_000),
    "deep objects": frame(b'{"a":' * 10_000),
    "deep behind a text": frame(b'{"a": "\\"]]]]]]]]]", "b": ' + b"[" * 20 + b"]" * 20 + b"}"),
    "a list": frame([1, 2]),
    "no ask": frame({"id": 1}),
    "ask of another type": frame({"ask": ["decode"]}),
    "long ask": frame({"ask": "x" * 33}),
    "id of another type": frame({"ask": "x", "id": [1]}),
    "huge id": frame({"ask": "x", "id": 10**30}),
    "arrays of another type": frame({"ask": "x", "arrays": {}}),
    "many arrays": frame({"ask": "x", "arrays": [ARRAY] * 9}),
    "an array that is none": frame({"ask": "x", "arrays": [1]}),
    "a name that is none": frame({"ask": "x", "arrays": [{**ARRAY, "name": 1}]}, bytes(4)),
    "twice": frame({"ask": "x", "arrays": [ARRAY, ARRAY]}, bytes(8)),
    "dtype": frame({"ask": "x", "arrays": [{**ARRAY, "dtype": "O"}]}, bytes(8)),
    "dtype of another type": frame({"ask": "x", "arrays": [{**ARRAY, "dtype": ["f4"]}]}, bytes(4)),
    "shape": frame({"ask": "x", "arrays": [{**ARRAY, "shape": [-1]}]}, bytes(4)),
    "shape of truth": frame({"ask": "x", "arrays": [{**ARRAY, "shape": [True]}]}, bytes(4)),
    "shape of floats": frame({"ask": "x", "arrays": [{**ARRAY, "shape": [1.0]}]}, bytes(4)),
    "many axes": frame({"ask": "x", "arrays": [{**ARRAY, "shape": [1] * 6}]}, bytes(4)),
    "overflow": frame({"ask": "x", "arrays": [{**ARRAY, "shape": [2**30] * 5}]}, bytes(4)),
    "payload that lacks": frame({"ask": "x", "arrays": [ARRAY]}),
    "payload too long": frame({"ask": "x", "arrays": [ARRAY]}, bytes(8)),
    "payload unnamed": frame({"ask": "x"}, bytes(4)),
    "payload not padded": frame({"ask": "x", "arrays": [{**ARRAY, "dtype": "u1"}]}, bytes(1)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_frame_is_refused_in_a_sentence(case: str) -> None:
    with pytest.raises(DiaboloError, match=r"\.$"):
        parse(BROKEN[case])


def test_brackets_in_a_text_are_not_deep() -> None:
    text = '[{"' * 50
    assert parse(pack({"id": 1, "ask": "parse", "text": text})).options["text"] == text


def test_a_refusal_keeps_the_name_of_the_question() -> None:
    assert identity(frame({"id": 3, "ask": ["x"]})) == 3
    assert identity(b"abc") is None
    assert identity(BROKEN["id of another type"]) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 80))
def test_no_bytes_raise_anything_else(noise: bytes, cut: int) -> None:
    good = pack({"id": 1, "ask": "decode"}, {"z": np.zeros((1, 3), np.float32)})
    for raw in (noise, good[:cut], good[:cut] + noise, noise + good):
        try:
            parse(raw)
        except DiaboloError:
            continue
