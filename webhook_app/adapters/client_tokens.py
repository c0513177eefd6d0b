"""Proof's client tokens: newest first, the one that Proof accepted last in front (proof/README.md, "To rotate")."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence


class ClientTokens:
    """Safe to share between threads. At least one token."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tuple(tokens)
        self._accepted = self._tokens[0]
        self._lock = threading.Lock()

    def in_order(self) -> Iterator[str]:
        """The accepted one, then the others, newest first."""
        with self._lock:
            first = self._accepted
        yield first
        yield from (token for token in self._tokens if token != first)

    def accept(self, token: str) -> None:
        with self._lock:
            self._accepted = token

    def hide(self, text: str) -> str:
        """The text with no token in it."""
        for token in self._tokens:
            text = text.replace(token, "***")
        return text
