"""Text from outside, made fit for any database, log line and page."""

from __future__ import annotations

import re

#: A usable `merchant_transaction_id`.
USABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

#: A text that `storable` leaves as it is, as JSON Schema's regular expressions put it; JSON has no lone surrogates.
STORABLE_PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]+$"


def is_usable_id(text: str) -> bool:
    return USABLE_ID.fullmatch(text) is not None


def is_term(text: str) -> bool:
    """Whether a stored value can be this text, so that it makes sense to look for it."""
    return bool(text) and text == storable(text, 128)


def storable(text: str, limit: int) -> str:
    """`text` cut to `limit` characters; NUL, which PostgreSQL refuses, other control characters and lone surrogates,
    which UTF-8 cannot carry, become U+FFFD."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[:limit])
