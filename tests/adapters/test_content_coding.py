"""Compressed bodies: read where they are whole, and never inflated beyond the limit."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.adapters.content_coding import CutOff, TooLarge, UnreadableCoding, decode_content


def pack(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


BODY = b'{"status": "completed"}'
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(BODY) + RAW.flush()


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (BODY, None),
        (BODY, ""),
        (BODY, "identity"),
        (BODY, "gzip"),
        (BODY, "deflate"),
        (BODY, "br"),
        (b"\xef\xbb\xbf " + BODY, "br"),
        (pack(BODY), "gzip"),
        (pack(BODY), "x-gzip"),
        (pack(BODY), "GZIP, identity"),
        (pack(BODY), None),
        (pack(BODY), "deflate"),
        (pack(BODY[:9]) + pack(BODY[9:]), "gzip"),
        (pack(BODY) + b"\0" * 8, "gzip"),
        (zlib.compress(BODY), "deflate"),
        (RAW_DEFLATE, "deflate"),
    ],
    ids=ascii,
)
def test_body_is_what_it_was_before_it_was_compressed(body: bytes, coding: str | None) -> None:
    assert decode_content(body, coding, 1000).removeprefix(b"\xef\xbb\xbf ") == BODY


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"\x0b\x0a\x80{}\x03", "br"),
        (b"<html>", "zstd"),
        (b"nothing", "deflate"),
        (b"\x1f\x8b", "gzip"),
        (b"\x1f\x8bnothing at all", "gzip"),
        (pack(BODY)[:-1], "gzip"),
        (pack(BODY)[:-6] + b"\1\1\1\1\1\1", "gzip"),
        (pack(BODY) + b"more", "gzip"),
        (pack(b"") * 20, "gzip"),
        (zlib.compress(BODY)[:-5], "deflate"),
        (zlib.compress(BODY) + b"more", "deflate"),
    ],
    ids=ascii,
)
def test_body_that_is_not_what_it_says_is_refused(body: bytes, coding: str) -> None:
    with pytest.raises(UnreadableCoding):
        decode_content(body, coding, 1000)


def test_what_ends_before_its_end_is_told_apart() -> None:
    with pytest.raises(CutOff):
        decode_content(pack(BODY * 100)[:-9], "gzip", 10_000)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b" " * 1001, None),
        (pack(b" " * 1001), "gzip"),
        (pack(b" " * 600) * 2, "gzip"),
        (zlib.compress(b" " * 1001), "deflate"),
    ],
    ids=ascii,
)
def test_body_beyond_the_limit_is_refused(body: bytes, coding: str | None) -> None:
    with pytest.raises(TooLarge):
        decode_content(body, coding, 1000)


@pytest.mark.parametrize("make", [pack, zlib.compress])
def test_bomb_takes_no_more_memory_than_the_limit(make: object) -> None:
    assert callable(make)
    bomb = make(b" " * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decode_content(bomb, "deflate", 64 * 1024)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300), st.sampled_from([None, "gzip", "deflate", "br", ",", "gzip, gzip"]))
@settings(database=None)
def test_any_bytes_are_read_or_refused(body: bytes, coding: str | None) -> None:
    with contextlib.suppress(UnreadableCoding, TooLarge):
        assert len(decode_content(body, coding, 200)) <= 200


@given(st.binary(max_size=2000), st.sampled_from([pack, zlib.compress]))
@settings(database=None)
def test_whatever_was_compressed_comes_back(body: bytes, make: object) -> None:
    assert callable(make)
    assert decode_content(make(body), "deflate", 2000) == body
