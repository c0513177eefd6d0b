"""Where the WebSocket channel connects to: a template of a URL, filled in for what one connection is about.

Today's form has one connection a transaction, `/ws?tx_id=…`, with the token in a header. The older one has one a user,
`/ws?token=…&user_id=…` (proof/README.md, "Dialects").
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

_TX_ID, _USER_ID, _TOKEN = "{tx_id}", "{user_id}", "{token}"

#: What a topic begins with: what the connection is about, a transaction or a user.
TRANSACTION, USER = "tx:", "user:"


@dataclass(frozen=True)
class WebSocketAddress:
    """`template` holds either `{tx_id}` or `{user_id}`, and may hold `{token}`."""

    template: str

    @property
    def is_by_user(self) -> bool:
        return _USER_ID in self.template

    @property
    def carries_token(self) -> bool:
        """Whether the token is part of the URL, and not in a header."""
        return _TOKEN in self.template

    def url(self, topic: str, token: str) -> str:
        """The address for a topic; a secret where it carries the token."""
        value = quote(topic.removeprefix(USER if self.is_by_user else TRANSACTION), safe="", errors="replace")
        filled = self.template.replace(_USER_ID if self.is_by_user else _TX_ID, value)
        return filled.replace(_TOKEN, quote(token, safe=""))


def derive_address(api_url: str) -> str:
    """The template beside an API's base URL, which has no slash at its end."""
    return f"ws{api_url.removeprefix('http')}/ws?tx_id={_TX_ID}"


def complete_template(url: str) -> str:
    """With `tx_id` where the URL says nothing of what a connection is about. Raises ValueError for one that names
    both, or something else."""
    named = {name for name in (_TX_ID, _USER_ID) if name in url}
    rest = url.replace(_TX_ID, "").replace(_USER_ID, "").replace(_TOKEN, "")
    if len(named) > 1 or "{" in rest or "}" in rest or any(name in url.partition("?")[0] for name in (_TOKEN,)):
        raise ValueError("with {tx_id} or {user_id}, and {token} in its query if anywhere")
    if named:
        return url
    return f"{url}{'&' if '?' in url else '?'}tx_id={_TX_ID}"
