"""Proof's JSON: exact, tolerant of bytes and byte-order marks, and never a guess which of two values counts."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.proof_json import NotAnObject, NotJson, Repeated, has_bad_bytes, read_object


def test_numbers_are_exact() -> None:
    body = b'{"a": 7, "b": 0.10, "c": 1e3, "d": 1e99999999999999999999, "e": true, "f": -0, "g": ' + b"9" * 5000 + b"}"
    found = read_object(body)
    assert found["a"] == 7
    assert isinstance(found["a"], int)
    assert [str(found[name]) for name in "bcd"] == ["0.10", "1E+3", "Infinity"]
    assert found["e"] is True
    assert found["g"] == Decimal("9" * 5000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_any_encoding_of_unicode_and_a_byte_order_mark_are_read(encoding: str) -> None:
    assert read_object('{"é": "中"}'.encode(encoding)) == {"é": "中"}


def test_bytes_that_are_not_utf8_mark_their_text() -> None:
    found = read_object(b'{"a": "caf\xe9", "b": "caf\xc3\xa9", "c\xff": 1, "d": "\\udce9"}')
    assert {name: has_bad_bytes(found[name]) for name in "abd"} == {"a": True, "b": False, "d": True}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ('"a": 1, "a": 1', 1),
        ('"a": "x", "b": 2, "a": "x"', "x"),
        ('"a": 1.0, "a": 1.00', Decimal("1.00")),
        ('"a": {"b": [1]}, "a": {"b": [1]}', {"b": [1]}),
        ('"a": 1, "a": 2', Repeated((1, 2))),
        ('"a": 1, "a": 2, "a": 1', Repeated((1, 2, 1))),
        ('"a": 1, "a": true', Repeated((1, True))),
        ('"a": "1", "a": 1', Repeated(("1", 1))),
        ('"a": null, "a": ""', Repeated((None, ""))),
        ('"a": "x", "\\u0061": "y"', Repeated(("x", "y"))),
    ],
)
def test_field_that_comes_twice_counts_only_with_one_value(pairs: str, value: object) -> None:
    assert read_object(f"{{{pairs}}}".encode())["a"] == value


def test_further_inside_the_last_one_counts() -> None:
    assert read_object(b'{"a": {"b": 1, "b": 2}}') == {"a": {"b": 2}}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"{} {}", b'{"a": NaN}', b'{"a": -Infinity}', b"\xff\xfe\x00", b"<html>", b"\x1f\x8b\x08\0"),
        *(b"\xe9{}", b'{"a": \xe9}', b"[" * 200_000, b'{"a":' * 40_000, b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\0" * 50),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        read_object(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"a"', b"7", b"7.5"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        read_object(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
@settings(database=None)
def test_every_object_is_read_as_it_was_written(payload: dict[str, Any]) -> None:
    assert read_object(json.dumps(payload).encode()) == payload
    assert read_object(json.dumps(payload, ensure_ascii=False).encode()) == payload


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789eE.-ab').map(str.encode))
@settings(database=None)
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with contextlib.suppress(NotJson, NotAnObject):
        assert isinstance(read_object(body), dict)
