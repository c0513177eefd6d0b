"""Text from outside, made fit for any database, log line and page."""

from __future__ import annotations

import re

#: A usable `merchant_transaction_id`.
USABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

#: A text that `storable` leaves as it is, as JSON Schema's regular expressions put it; JSON has no lone surrogates.
STORABLE_PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]+$"
#: What a terminal obeys (C0, DEL, C1), what reorders the text around it (Unicode's bidirectional controls, UAX #9),
#: what ends a line without being a newline, and lone surrogates.
_DANGEROUS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_DANGEROUS}]|\r(?!\n)")
_IN_LINE = re.compile(f"[{_DANGEROUS}\t\n\r]")


def is_usable_id(text: str) -> bool:
    return USABLE_ID.fullmatch(text) is not None


def is_term(text: str) -> bool:
    """Whether a stored value can be this text, so that it makes sense to look for it."""
    return bool(text) and text == storable(text, 128)


def storable(text: str, limit: int) -> str:
    """`text` cut to `limit` characters; NUL, which PostgreSQL refuses, other control characters and lone surrogates,
    which UTF-8 cannot carry, become U+FFFD."""
    cut = text[:limit]
    return cut if cut.isprintable() else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", cut)


def as_sentence(words: str) -> str:
    """With a capital letter and a full stop: what is wrong with a field, whoever has put it in words."""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith(('.', '!', '?', '…')) else '.'}"


def visible(text: str) -> str:
    """`text` for a page or a terminal: control and bidirectional characters are spelled out, as `\\u202e`. Tabs and
    newlines stay."""
    return text if text.isascii() and text.isprintable() else _IN_TEXT.sub(_spell, text)


def visible_line(text: str) -> str:
    """The same where it must stay one line, so that nothing in it passes for a line of its own."""
    return text if text.isascii() and text.isprintable() else _IN_LINE.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
