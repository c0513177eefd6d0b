"""Bodies that came compressed though nobody asked for it (RFC 9110, 8.4): inflated up to a limit, never beyond."""

from __future__ import annotations

import zlib

_GZIP_MAGIC = b"\x1f\x8b"
#: Parts of one gzip body (RFC 1952, 2.2), of which each may be empty.
_MOST_MEMBERS = 16

#: zlib's `wbits` for gzip, for deflate as it is specified, and for deflate as some servers send it, without a header.
_GZIP, _ZLIB, _RAW = 31, 15, -15


class UnreadableCoding(ValueError):
    """The body is coded in a way that is not read here, or damaged."""


class CutOff(UnreadableCoding):
    """The compressed body ends before its end."""


class TooLarge(ValueError):
    """The body is larger than the limit."""


def decode_content(body: bytes, coding: str | None, limit: int) -> bytes:
    """What `body` is without its content coding, as the header Content-Encoding names it.

    What is gzip is known by its first bytes, whatever the header says; what is plain JSON is taken as it is. Raises
    TooLarge where that has more than `limit` bytes, UnreadableCoding or CutOff where it cannot be had.
    """
    plain = body
    if body.startswith(_GZIP_MAGIC):
        plain = _gunzip(body, limit)
    else:
        named = {one.strip().lower() for one in (coding or "").split(",")} - {"", "identity"}
        if named == {"deflate"}:
            plain = _undeflate(body, limit)
        elif named and not _is_object(body):
            raise UnreadableCoding("compressed in a way that is not read here")
    if len(plain) > limit:
        raise TooLarge("larger than the limit")
    return plain


def is_plain(body: bytes | bytearray, coding: str | None) -> bool:
    """Whether it is not compressed, as far as one can tell from its header and its beginning."""
    named = {one.strip().lower() for one in (coding or "").split(",")} - {"", "identity"}
    return not named and not body.startswith(_GZIP_MAGIC)


def _gunzip(body: bytes, limit: int) -> bytes:
    plain = b""
    for _ in range(_MOST_MEMBERS):
        member, body = _inflate(body, _GZIP, limit - len(plain))
        plain += member
        if not body.strip(b"\0"):
            return plain
    raise UnreadableCoding("too many parts")


def _undeflate(body: bytes, limit: int) -> bytes:
    """By either of the two ways in which it is sent; plain JSON as it is."""
    problem = UnreadableCoding("no deflate")
    for form in (_ZLIB, _RAW):
        try:
            plain, rest = _inflate(body, form, limit)
        except UnreadableCoding as error:
            problem = error
        else:
            if not rest:
                return plain
    if _is_object(body):
        return body
    raise problem


def _inflate(body: bytes, form: int, limit: int) -> tuple[bytes, bytes]:
    """What is inflated of it, and what follows its end."""
    inflater = zlib.decompressobj(form)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise UnreadableCoding("damaged") from error
    if len(plain) > limit:
        raise TooLarge("larger than the limit")
    if not inflater.eof:
        raise CutOff("it ends before its end")
    return plain, inflater.unused_data


def _is_object(body: bytes) -> bool:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
