"""The vault of answers: who has the caller's `Idempotency-Key` can read them, and nobody else, we included.

A session's answer holds secrets (`init_token`, `signature`). It is encrypted by AES-256-GCM under a key that HKDF
(RFC 5869) derives from the caller's key and SECRET_KEY: neither a copy of the database nor one of the logs opens it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Bytes of a nonce of GCM (NIST SP 800-38D).
_NONCE = 12


class Unreadable(Exception):
    """It was encrypted under another SECRET_KEY, or damaged."""


class AnswerVault:
    """What one caller's key opens. `pepper` is SECRET_KEY."""

    def __init__(self, key: str, pepper: str) -> None:
        self._secret = hmac.digest(pepper.encode(), key.encode(), "sha256")

    @property
    def key_digest(self) -> str:
        """Names the key, and does not give it away."""
        return hmac.new(self._secret, b"idempotency key", hashlib.sha256).hexdigest()

    def digest(self, body: bytes) -> str:
        """Of the request's body: it tells whether it is the same, and not what is in it."""
        return hmac.new(self._secret, b"body " + body, hashlib.sha256).hexdigest()

    def close(self, text: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher().encrypt(nonce, text, None)

    def open(self, closed: bytes) -> bytes:
        """Raises Unreadable."""
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher().decrypt(closed[:_NONCE], closed[_NONCE:], None))
        except InvalidTag as error:
            raise Unreadable("encrypted under another key, or damaged") from error

    def _cipher(self) -> AESGCM:
        # Loaded where it is used: it has 10 MB, and most processes never need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"webhook-app session answer").derive(self._secret))
